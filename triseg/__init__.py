"""The console command `triseg`: every command of the project under one name."""

"""The report: one page of HTML on what other commands have measured and predicted into a folder."""

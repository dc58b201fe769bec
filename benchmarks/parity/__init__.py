"""Parity: where the implementations of one model part ways, and what usually causes that."""

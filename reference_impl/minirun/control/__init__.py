"""Reconcilers: what is declared in the store becomes what runs, and what runs is told in the store."""

"""Benchmarks of the platform, and the yardsticks that they are measured against."""

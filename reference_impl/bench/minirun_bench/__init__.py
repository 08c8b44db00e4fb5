"""The benchmarks: every figure beside a yardstick from the same run, and a verdict against the stated aim.

`minirun bench [NAME...] [--quick|--full] [--json] [--list]`. They start real platforms on free loopback ports
with data directories of their own and leave nothing behind. Machines are noisy: believe the ratios.
"""

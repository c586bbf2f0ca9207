"""The same workloads in other libraries. Each module needs its library; nothing here is imported without it."""

"""What is measured: each module lists its groups and writes its table."""

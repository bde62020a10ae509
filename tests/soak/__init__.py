"""Many seeded tries of what must never crash, hang or end in a traceback: each module has `run(count, seed)`."""

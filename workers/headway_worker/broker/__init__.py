"""How a worker takes the messages of its queues: one connection, one thread, for either broker."""

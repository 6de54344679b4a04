"""Which of the waiting steps get an attempt now. Pure: waiting, capacity → admitted."""

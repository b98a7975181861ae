"""A SIP phone for tests and demonstrations: registers, rings, answers, plays, listens, and says what happens when."""

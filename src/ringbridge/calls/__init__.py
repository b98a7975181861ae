"""The brain: who rings, one call from claim to CDR, and the owner that runs many. Speaks legs, never SIP or SDP."""

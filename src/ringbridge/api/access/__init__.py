"""Who asks, whether they may and how often; keys, logins and passwords over HTTP (contract §1, §2)."""

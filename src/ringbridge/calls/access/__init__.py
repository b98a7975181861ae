"""Who may come in: keys, passwords, logins, tokens."""

"""The command line: `ringbridge serve`, `demo`, `call`, `apply`, `phone`, `bench`."""

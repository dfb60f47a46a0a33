"""What servers and gateways do, after public reports: a class a behaviour, each named; for `WordServer(behave=…)`."""

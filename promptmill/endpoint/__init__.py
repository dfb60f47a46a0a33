"""The `endpoint` engine: any server that speaks OpenAI's HTTP API.

It is the engine of a model that is not loaded here. `meeting.py` finds out once a run what the server is;
`engine.py` sends the rows, as many at a time as the server bears.
"""

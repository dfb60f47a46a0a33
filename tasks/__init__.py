"""The stages as Luigi tasks: parameters, requires, output, and a run that calls the core.

A stage takes the folder of a run as its parameter, and finds the settings there; so each can also
be run by hand: `luigi --module workflows GenerateShard --run data/runs/NAME --shard 3 --local-scheduler`.
"""

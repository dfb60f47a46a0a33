"""A fork server: it has imported what a command needs, and forks for each command that a test starts.

A test that starts `luigi ... BuildDataset` pays seconds of imports before anything happens; a fork pays
milliseconds. What is forked is a process like any other: with its own folder, environment, standard streams and
session, killed by real signals. Only the imports are not its own, so a command whose environment differs in
something that is read during imports is started cold, as are the tests of starting itself.
"""

from tests.forkserver.client import Process, run_command, set_environment, start_command

__all__ = ["Process", "run_command", "set_environment", "start_command"]

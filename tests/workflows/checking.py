"""What is said about options, without a run: `python -m tests.workflows.checking` with parameters as JSON on stdin."""

from __future__ import annotations

import json
import sys
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.run import require_same_settings
from tasks.engine_stages import check_options
from tasks.open_run import OpenRun
from workflows import BuildDataset, FillShards, SubmitDataset


def refusal(given: dict[str, str]) -> str | None:
    """What BuildDataset says to these parameters; None if it takes them."""
    try:
        task = BuildDataset.from_str_params(given)
        check_options(task)
        _ = task.clone(OpenRun).settings
    except ConfigurationError as error:
        return str(error)
    return None


def refusal_of_another_engine(begun: dict[str, str], given: dict[str, str]) -> str | None:
    """What is said when a run goes on with other parameters than it was begun with."""
    BuildDataset.from_str_params(begun).clone(OpenRun).run()
    opening = BuildDataset.from_str_params(given).clone(OpenRun)
    try:
        require_same_settings(opening.folder, opening.settings)
    except ConfigurationError as error:
        return str(error)
    return None


def handed_on(given: dict[str, str]) -> dict[str, Any]:
    """What SubmitDataset hands to the tasks of an array, and whether they read the same from it."""
    task = SubmitDataset.from_str_params(given)
    arguments = dict(argument.removeprefix("--").split("=", 1) for argument in task.endpoint_arguments)
    parameters = {name.replace("-", "_"): value for name, value in arguments.items()}
    filler = FillShards.from_str_params({"run_dir": "nowhere", **parameters})
    return {"arguments": arguments, "same": filler.endpoint_options == task.endpoint_options}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answers = {
        "begun": refusal_of_another_engine(*asked["begun"]),
        "refusals": [refusal(given) for given in asked["refusals"]],
        "handed_on": handed_on(asked["handed_on"]),
    }
    json.dump(answers, sys.stdout)

"""What one runs: `luigi --module workflows BuildDataset --model gpt2 --local-scheduler`."""

from tasks.process import set_luigi_defaults

# Before any task is made: Luigi reads its exit codes right after it imported this module.
set_luigi_defaults()

from tasks.assemble_dataset import AssembleDataset  # noqa: E402
from tasks.check_auth import CheckAuth  # noqa: E402
from tasks.download_model import DownloadModel  # noqa: E402
from tasks.fill_shards import FillShards  # noqa: E402
from tasks.generate_shard import GenerateShard  # noqa: E402
from tasks.meet_server import MeetServer  # noqa: E402
from tasks.place_model import PlaceModel  # noqa: E402
from tasks.prepare_prompts import PreparePrompts  # noqa: E402
from tasks.publish_dataset import PublishDataset  # noqa: E402
from tasks.submit_finish import FinishDataset  # noqa: E402
from workflows.build_dataset import BuildDataset  # noqa: E402
from workflows.prepare_model import PrepareModel  # noqa: E402
from workflows.submit_dataset import SubmitDataset  # noqa: E402

__all__ = [
    "AssembleDataset",
    "BuildDataset",
    "CheckAuth",
    "DownloadModel",
    "FillShards",
    "FinishDataset",
    "GenerateShard",
    "MeetServer",
    "PlaceModel",
    "PrepareModel",
    "PreparePrompts",
    "PublishDataset",
    "SubmitDataset",
]

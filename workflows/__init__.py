"""What one runs: `luigi --module workflows BuildDataset --model gpt2 --local-scheduler`."""

from tasks.configuration import require_files_in_use, require_known_settings
from tasks.process import ending_on_error, set_luigi_defaults

# Before any task is made: Luigi reads its exit codes right after it imported this module.
with ending_on_error():
    require_files_in_use()
    set_luigi_defaults()

from tasks.assemble_dataset import AssembleDataset
from tasks.check_auth import CheckAuth
from tasks.download_model import DownloadModel
from tasks.fill_shards import FillShards
from tasks.generate_shard import GenerateShard
from tasks.meet_server import MeetServer
from tasks.place_model import PlaceModel
from tasks.prepare_prompts import PreparePrompts
from tasks.publish_dataset import PublishDataset
from tasks.submit_finish import FinishDataset
from workflows.build_dataset import BuildDataset
from workflows.prepare_model import PrepareModel
from workflows.submit_dataset import SubmitDataset

with ending_on_error():
    require_known_settings()

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

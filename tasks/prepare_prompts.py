"""Read, render and check the prompts; fix the shards."""

from __future__ import annotations

import luigi

from promptmill.plan import SMALL_SHARD_ROWS, prompt_options, require_own_prompts, write_manifest
from promptmill.prompts import prepare_prompts
from promptmill.run import recorded_prompts_source
from tasks.stage import Stage, target


class PreparePrompts(Stage):
    """Turns the user's files into one table of prompts with stable ids, and cuts it into shards."""

    priority = 50  # Bad rows are found before a model is downloaded.
    small_shard_rows = SMALL_SHARD_ROWS

    def output(self) -> luigi.LocalTarget:
        """The manifest, written after the table."""
        return target(self.folder.prompts)

    def run(self) -> None:
        """Prepare in one stream."""
        settings = self.folder.settings
        options = prompt_options(settings, recorded_prompts_source(self.folder))
        prepared = prepare_prompts(options, self.folder.prompts_table)
        require_own_prompts(self.folder, prepared)
        write_manifest(self.folder, prepared, settings.samples_per_prompt, self.small_shard_rows)

"""Begin a run, or go on in one that was begun with the same settings."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import luigi

from promptmill.columns import FLAT, checked_layout, choose_layout
from promptmill.errors import NotFound
from promptmill.files import storage_errors
from promptmill.mending import mend, take_over
from promptmill.model import checked_model
from promptmill.prompts import (
    absolute_path,
    absolute_source,
    chat_template_text,
    default_prompts_path,
    source_digest,
    template_text,
)
from promptmill.run import RunFolder, is_open, open_run
from promptmill.same_run import begun_elsewhere, digest_of_gone, require_same_run, say_equal_runs
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings, check_unicode, checked_name, run_name
from promptmill.vllm.sampling import require_same_choice
from tasks.run_parameters import RunParameters
from tasks.stage import PromptmillTask, target


class OpenRun(RunParameters, PromptmillTask):
    """Writes the settings of a run down, once; refuses a run that was begun with others."""

    _is_mended = False

    def output(self) -> luigi.LocalTarget:
        """The settings as they were given."""
        return target(self.folder.record)

    def complete(self) -> bool:
        """Whether the run was begun; with other settings than these, that is an error. What is damaged is mended."""
        if not is_open(self.folder):
            return False
        require_same_run(self.folder, self.settings, self.prompts_source)
        if not self._is_mended:
            # Once: what was set aside at the start is made anew in the course of the run, and is right then.
            mend(self.folder)
            choose_layout(self.folder, checked_layout(self.columns))
            self._is_mended = True
        return True

    def run(self) -> None:
        """Write the settings, unless the folder has rows of other ones."""
        if self.settings.engine == "vllm":
            require_same_choice(self.settings.sampling)
        take_over(self.folder, self.settings)
        say_equal_runs(self.folder, self.settings)
        open_run(self.folder, self.settings, self.prompts_source, checked_layout(self.columns) or FLAT)

    @property
    def prompts_source(self) -> str:
        """Where the prompts come from: given, or the file that comes with promptmill."""
        return self._prompts[0]

    @cached_property
    def _prompts(self) -> tuple[str, str]:
        """The source of the prompts, and its digest."""
        check_unicode("--prompts", self.prompts)
        if not self.prompts:
            source = str(default_prompts_path())
            return source, source_digest(source)
        try:
            source = absolute_source(self.prompts)
            return source, source_digest(source)
        except NotFound:
            source = absolute_path(self.prompts)
            name = checked_name(self.name) if self.name else None
            digest = digest_of_gone(Path(self.data_dir), name, source, self._settings_with)
            if digest is None:
                raise
            return source, digest

    @cached_property
    def settings(self) -> RunSettings:
        """The settings as one checked value."""
        return self._settings_with(self._prompts[1])

    def _settings_with(self, digest: str) -> RunSettings:
        sampling = SamplingParameters(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            stop=self.stop,
        )
        return RunSettings(
            # What a server calls its model is no path and no id of the Hub: it is asked for as it was typed.
            model=self.model if self.engine == "endpoint" else checked_model(self.model),
            revision=self.revision,
            prompts_sha256=digest,
            prompt_column=self.prompt_column,
            template=template_text(self.template) if self.template else None,
            system_prompt=self.system_prompt,
            limit=self.limit,
            samples_per_prompt=self.samples_per_prompt,
            sampling=sampling,
            seed=self.seed,
            dtype=self.dtype,
            quantization=self.quantization,
            engine=self.engine,
            trust_remote_code=self.trust_remote_code,
            endpoint_api=self.endpoint_api,
            drop_last_answer=self.drop_last_answer,
            prompt_per_file=self.prompt_per_file,
            file_column=self.file_column,
            keep_special_tokens=self.keep_special_tokens,
            split_special_tokens=self.split_special_tokens,
            chat_template=chat_template_text(self.chat_template) if self.chat_template else None,
        )

    @cached_property
    def folder(self) -> RunFolder:
        """The folder of the run, named by `--name` or after the settings."""
        check_unicode("--data-dir", self.data_dir)
        name = checked_name(self.name) if self.name else run_name(self.settings, self.prompts_source)
        data = Path(self.data_dir)
        with storage_errors(data):
            data.exists()  # a name that no disk takes
        run = RunFolder.named(data, name)
        elsewhere = None if self.name or is_open(run) else begun_elsewhere(data, self.settings)
        return elsewhere or run

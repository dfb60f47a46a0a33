"""Whether `datasets` can load what is prepared: asked before a row is generated, as a card could not say it later."""

from __future__ import annotations

import pyarrow as pa

from promptmill.errors import InvalidRows

_SIMPLE = (pa.types.is_null, pa.types.is_boolean, pa.types.is_string, pa.types.is_int64, pa.types.is_float64)


def require_loadable(schema: pa.Schema) -> None:
    """Refuse columns whose type does not come back from the form that the card writes it in.

    Raises:
        InvalidRows: names the column and its type.
    """
    for field in schema:
        # `datasets` takes seconds to import: text and JSON have nothing that it could not hold.
        if not _is_simple(field.type) and not _comes_back(field):
            raise InvalidRows(
                f"The column {field.name} is of the type {field.type}, which `datasets` cannot load. "
                "Leave it out of the file, or write it as text."
            )


def _is_simple(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return all(_is_simple(field.type) for field in kind)
    if pa.types.is_list(kind):
        return _is_simple(kind.value_type)
    return any(test(kind) for test in _SIMPLE)


def _comes_back(field: pa.Field) -> bool:
    import yaml
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    try:
        features = Features.from_arrow_schema(pa.schema([field]))
        card = DatasetCardData()
        DatasetInfosDict({"default": DatasetInfo(features=features)}).to_dataset_card_data(card)
        again = DatasetInfosDict.from_dataset_card_data(DatasetCardData(**yaml.safe_load(card.to_yaml())))
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, pa.ArrowException):
        return False
    return bool(again["default"].features == features)

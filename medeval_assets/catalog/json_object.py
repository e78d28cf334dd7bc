"""A JSON file that must hold an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medeval_assets.errors import BadInput, Problem

MOST_BYTES = 200_000_000

_REMEDY = "Copy the file again from where the checkpoint came from."


def read_json_object(path: Path, where: str) -> dict[str, Any]:
    """The object in the file. Raises BadInput, which calls the file `where`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput([Problem(where, f"larger than {MOST_BYTES} bytes", _REMEDY)])
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BadInput([Problem(where, f"cannot be read ({error.strerror})", _REMEDY)]) from error
    except UnicodeDecodeError as error:
        raise BadInput([Problem(where, "not UTF-8", _REMEDY)]) from error
    except (ValueError, RecursionError) as error:
        at = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput([Problem(where + at, "not valid JSON", _REMEDY)]) from error
    if not isinstance(value, dict):
        raise BadInput([Problem(where, "not a JSON object", _REMEDY)])
    return value

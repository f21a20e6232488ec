"""The `ocr` engine: reads the text of a frame with RapidOCR. Needs the extra `ocr`."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import rapidocr
from rapidocr.utils.output import RapidOCROutput

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.engines.fill import Findings, Json, fill, integers_in
from overshoot_flow.local.engines.pixels import luma_plane
from overshoot_flow.local.engines.readings import rows, value_after
from overshoot_flow.local.stamp import read

_MODELS: Final = Path(rapidocr.__file__).parent / "models"
_DETECTION_MODEL: Final = _MODELS / "PP-OCRv6_det_small.onnx"
_RECOGNITION_MODEL: Final = _MODELS / "PP-OCRv6_rec_small.onnx"
_PARAMETERS: Final = {
    "Global.log_level": "error",
    # Text that stands upside down is not expected in video that a player shows upright.
    "Global.use_cls": False,
    # With a path of its own a model is never looked for on the network.
    "Det.model_path": str(_DETECTION_MODEL),
    "Rec.model_path": str(_RECOGNITION_MODEL),
    # Text is looked for in a picture of at most 640 pixels and read in the full one: a third of
    # the time of the default, which scales small pictures up instead.
    "Det.limit_type": "max",
    "Det.limit_side_len": 640,
    # The server shares the machine with the pipeline that it serves.
    "EngineConfig.onnxruntime.intra_op_num_threads": 2,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


class OcrEngine:
    """Answers with the text in the middle frame of the window.

    The facts are `text` (rows joined by newlines), `lines`, `numbers` (the integers in the text)
    and `stamp` (of the frame that was read, or None). A property of the schema takes the fact of
    its name, else what stands behind its name in the text: `LANE 3` makes `lane` 3.

    The model is loaded at construction, about a second, so that no answer has to wait for it; one
    frame is read at a time.

    Raises:
        ConfigurationError: The installed RapidOCR does not carry the models.
    """

    def __init__(self) -> None:
        for model in (_DETECTION_MODEL, _RECOGNITION_MODEL):
            if not model.is_file():
                raise ConfigurationError(
                    f"the installed rapidocr does not carry {model.name}; "
                    "reinstall it: pip install --force-reinstall 'rapidocr==3.10.*'"
                )
        self._lock = threading.Lock()
        self._reader = rapidocr.RapidOCR(params=_PARAMETERS)

    @property
    def name(self) -> str:
        """Return `"ocr"`."""
        return "ocr"

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        """Read the middle frame; without a schema the answer is its text."""
        frame = frames[len(frames) // 2]
        lines = self._read(frame.image)
        text = "\n".join(lines)
        facts: dict[str, Any] = {
            "text": text,
            "lines": lines,
            "numbers": integers_in(text),
            "stamp": read(luma_plane(frame.image)),
        }
        if question.output_schema is None:
            return EngineAnswer(text, facts=facts)

        def named(name: str) -> Json:
            return facts[name] if name in facts else value_after(text, name)

        findings = Findings(
            text=text,
            seen=bool(lines),
            at=datetime.fromtimestamp(frame.arrived_at_s, UTC),
            named=named,
        )
        return EngineAnswer(json.dumps(fill(question.output_schema, findings)), facts=facts)

    def _read(self, image: av.VideoFrame) -> list[str]:
        picture = image.reformat(format="bgr24").to_ndarray()
        with self._lock:
            found = self._reader(picture)
        # RapidOCR has a type of answer for every step that can come out empty.
        if not isinstance(found, RapidOCROutput) or found.boxes is None or not found.txts:
            return []
        return rows(np.asarray(found.boxes, dtype=np.float32), found.txts)

"""Rounds of CTranslate2 in float32: of a model that `seq2attn export` wrote into the folder named as an argument.

Without that argument: of a Marian of the same sizes with random weights, converted by CTranslate2's own converter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import ctranslate2

from scripts.peers.serving import Assignment, Tool, serve


def build(assignment: Assignment, arguments: Sequence[str]) -> Tool:
    """The tool; it cannot train."""
    with TemporaryDirectory() as temporary:
        folder = arguments[0] if arguments else _convert_marian(assignment, Path(temporary))
        translator = ctranslate2.Translator(
            str(folder), compute_type="float32", inter_threads=1, intra_threads=assignment.threads
        )
    decode = assignment.config["decode"]
    # Without EOS, which the model's configuration has CTranslate2 add.
    batches = [
        ([[assignment.pieces[token_id] for token_id in source[:-1]] for source in batch.sources], batch)
        for batch in assignment.decoding
    ]

    def translate() -> int:
        for sources, asked in batches:
            found = translator.translate_batch(
                sources,
                beam_size=decode["beam_size"],
                length_penalty=decode["length_penalty"],
                min_decoding_length=asked.steps,
                max_decoding_length=asked.steps,
            )
            assert all(len(result.hypotheses[0]) == asked.steps for result in found)
        return sum(batch.tokens for batch in assignment.decoding)

    return Tool({"ctranslate2": ctranslate2.__version__}, None, {"beam": translate})


def _convert_marian(assignment: Assignment, folder: Path) -> Path:
    from ctranslate2.converters.transformers import MarianMTLoader

    from scripts.peers.drive_marian import build_marian

    specification = MarianMTLoader().get_model_spec(build_marian(assignment))
    specification.register_source_vocabulary(assignment.pieces)
    specification.register_target_vocabulary(assignment.pieces)
    special = (assignment.pieces[token_id] for token_id in (assignment.unk_id, assignment.bos_id, assignment.eos_id))
    settings = specification.config
    settings.unk_token, settings.bos_token, settings.eos_token = special
    settings.decoder_start_token = settings.eos_token  # any: the decoder starts from a zero embedding
    settings.add_source_eos = True
    specification.validate()
    specification.optimize()
    specification.save(str(folder))
    return folder


if __name__ == "__main__":
    serve(build)

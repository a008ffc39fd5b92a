"""Compare lrcn with what Caffe computed: run recorded cases and print, per blob, how far the results are apart.

Where gradients were recorded they are computed and compared as well: diff/BLOB and param_diff/LAYER/INDEX.

A case is a folder with net.prototxt, weights.caffemodel and dump.h5 (see dump_caffe.py), or one with a recorded
training run (see lrcn/compare_training.py), which is trained again. The exit status is 0 only when every blob of every
case is within its limit.
"""

import argparse
import json
import math
from dataclasses import asdict

from lrcn import cli
from lrcn.compare import EXACT_ULP, PROBABILITY_TOLERANCE, PRODUCT_ORDER_TOLERANCE, CaseComparison, compare_case
from lrcn.compare_training import compare_training, is_training_case
from lrcn.devices import check_device, use_precision


def main(argv: list[str] | None = None) -> int:
    """Compare the cases named on the command line; 0 when all are within their limits, else 1."""
    arguments = _parser().parse_args(argv)
    check_device(arguments.device)
    use_precision("float32")
    cases = []
    for path in arguments.case:
        compare = compare_training if is_training_case(path) else compare_case
        case = compare(path, arguments.numerics, arguments.max_ulp, arguments.device)
        cases.append(case)
        if not arguments.json:
            _print(case)
    outside = [case for case in cases if not case.within]
    if arguments.json:
        print(json.dumps([_as_json(case) for case in cases], indent=2))
    elif len(cases) > 1:
        print(f"{len(cases) - len(outside)} of {len(cases)} cases within the limits")
    return cli.EXIT_FAILURE if outside else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Without --max-ulp the limit is {EXACT_ULP} ULP in exact; in fast the same most probable class and "
        f"probabilities\nwithin {PROBABILITY_TOLERANCE:g}, and any other blob within {PRODUCT_ORDER_TOLERANCE:g} of "
        "its largest magnitude.",
    )
    parser.add_argument("case", nargs="+", help="folder with dump.h5 or run.h5")
    parser.add_argument("--numerics", choices=("exact", "fast"), default="exact", help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda needs fast numerics")
    parser.add_argument("--max-ulp", type=int, metavar="N", help="every blob within N ULP, in place of the usual limit")
    parser.add_argument("--json", action="store_true", help="print a JSON list of the cases instead of tables")
    return parser


def _print(case: CaseComparison) -> None:
    steps = f"{case.steps} step" + ("s" if case.steps > 1 else "")
    print(f"{case.path}: {case.numerics} against {case.engine or 'Caffe'}, phase {case.phase}, {steps}")
    width = max(len(blob.name) for blob in case.blobs)
    print(f"  {'blob':{width}}  {'shape':20}  {'max ULP':>10}  {'max abs':>9}  {'max rel':>9}")
    for blob in case.blobs:
        shape = "x".join(map(str, blob.shape)) or "scalar"
        note = "" if blob.within else "  OUTSIDE THE LIMIT"
        if blob.same_argmax is False:
            note += ", another most probable class"
        print(
            f"  {blob.name:{width}}  {shape:20}  {blob.max_ulp:>10}  {blob.max_abs:>9.2g}  {blob.max_rel:>9.2g}{note}"
        )


def _as_json(case: CaseComparison) -> dict:
    """The comparison as plain JSON data; a difference to a NaN or an infinity is null."""
    blobs = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in map(asdict, case.blobs)
    ]
    return {
        "path": str(case.path),
        "engine": case.engine,
        "phase": case.phase,
        "numerics": case.numerics,
        "steps": case.steps,
        "within": case.within,
        "blobs": blobs,
    }


if __name__ == "__main__":
    cli.run(main)

"""Render the sessions of `detection.py`: other seeds, rooms, casts and forms than the dev sessions.

    python -m benchmarks.presenter.sessions ../shared/speech --out ~/rooms

Needs the requirements of `../shared/speech`. Renders what is not there yet; the same arguments give the same
bytes. Casts: `held` takes only the seven voices of LibriSpeech test-other and LJ Speech; `a` and `b` share
out all 330 voices. Each line is a session: name, cast, seed, presenter, the rest. A, B, H and L came first;
D and T add two for each voice with enough speech to present, the others one for some. Y was rendered
when everything else stood, and nothing is fitted to it.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import corpus

SESSIONS = """
A1 a 301 ljspeech/LJ              --n-speakers 7 --check-in 6
A2 a 302 libri-test-other/2033    --n-speakers 6
A3 a 303 speechocean762/0813      --n-speakers 8 --check-in 6
A4 a 304 speechocean762/9626      --n-speakers 6 --same-sex
A5 a 305 libri-test-other/2414    --n-speakers 6 --same-sex --check-in 6
A6 a 306 speechocean762/2112      --n-speakers 7 --same-source
A7 a 307 libri-test-other/1998    --n-speakers 9
A8 a 308 speechocean762/1109      --n-speakers 5 --check-in 6
B1 b 401 libri-test-other/367     --n-speakers 7 --check-in 6
B2 b 402 libri-test-other/3005    --n-speakers 6
B3 b 403 speechocean762/9611      --n-speakers 8 --check-in 6
B4 b 404 speechocean762/9623      --n-speakers 6 --same-sex
B5 b 405 libri-test-other/3331    --n-speakers 6 --same-sex --check-in 6
B6 b 406 speechocean762/2061      --n-speakers 7 --same-source
B7 b 407 speechocean762/9630      --n-speakers 9
B8 b 408 speechocean762/1156      --n-speakers 5 --check-in 6
H1 held 501 libri-test-other/2033 --n-speakers 6 --check-in 6
H2 held 502 libri-test-other/3331 --n-speakers 7
H3 held 503 libri-test-other/3005 --n-speakers 6
H4 held 504 libri-test-other/1998 --n-speakers 7 --check-in 6
H5 held 505 libri-test-other/2414 --n-speakers 6
H6 held 506 libri-test-other/367  --n-speakers 5 --check-in 6
LA a 601 ljspeech/LJ              --n-speakers 8 --minutes 40 --intrusions 1,0,0 --check-in 6
LB b 602 speechocean762/9623      --n-speakers 8 --minutes 40 --intrusions 1,0,0
LC b 603 libri-test-other/367     --n-speakers 8 --minutes 40 --intrusions 1,0,0 --check-in 6
D01 a 1000 libri-test-other/1998   --n-speakers 7 --check-in 6
D02 a 1001 libri-test-other/1998   --n-speakers 6 --same-sex
D03 a 1002 libri-test-other/2033   --n-speakers 8 --check-in 6
D04 a 1003 libri-test-other/2033   --n-speakers 7 --same-source
T01 a 1004 libri-test-other/2414   --n-speakers 5 --check-in 6
T02 a 1005 libri-test-other/2414   --n-speakers 8
D05 a 1006 ljspeech/LJ             --n-speakers 9 --check-in 6
D06 a 1007 ljspeech/LJ             --n-speakers 6
D07 a 1008 speechocean762/0157     --n-speakers 6
D08 a 1009 speechocean762/0157     --n-speakers 5 --check-in 6
T03 a 1010 speechocean762/0813     --n-speakers 6 --same-sex
T04 a 1011 speechocean762/0813     --n-speakers 9 --check-in 6
D09 a 1012 speechocean762/2059     --n-speakers 7 --same-source
D10 a 1013 speechocean762/2059     --n-speakers 7 --check-in 6
T05 a 1014 speechocean762/2112     --n-speakers 8
T06 a 1015 speechocean762/2112     --n-speakers 8 --check-in 6
D11 a 1016 speechocean762/9613     --n-speakers 8 --check-in 6
D12 a 1017 speechocean762/9613     --n-speakers 7 --same-source
T07 a 1018 speechocean762/9645     --n-speakers 5 --check-in 6
T08 a 1019 speechocean762/9645     --n-speakers 8
D13 a 1020 speechocean762/0960     --n-speakers 9 --check-in 6
D14 a 1021 speechocean762/0960     --n-speakers 6
T09 a 1022 speechocean762/1109     --n-speakers 7 --check-in 6
T10 a 1023 speechocean762/1109     --n-speakers 6 --same-sex
D15 a 1024 speechocean762/1260     --n-speakers 6 --same-sex
D16 a 1025 speechocean762/1260     --n-speakers 9 --check-in 6
T11 a 1026 speechocean762/2016     --n-speakers 7 --same-source
T12 a 1027 speechocean762/2016     --n-speakers 7 --check-in 6
D17 a 1028 speechocean762/9609     --n-speakers 8
D18 a 1029 speechocean762/9609     --n-speakers 8 --check-in 6
T13 a 1030 speechocean762/9626     --n-speakers 6
T14 a 1031 speechocean762/9626     --n-speakers 5 --check-in 6
D19 b 1032 libri-test-other/3331   --n-speakers 5 --check-in 6
D20 b 1033 libri-test-other/3331   --n-speakers 8
T15 b 1034 libri-test-other/367    --n-speakers 9 --check-in 6
T16 b 1035 libri-test-other/367    --n-speakers 6
D21 b 1036 libri-test-other/3005   --n-speakers 7 --check-in 6
D22 b 1037 libri-test-other/3005   --n-speakers 6 --same-sex
D23 b 1038 speechocean762/0563     --n-speakers 8 --check-in 6
D24 b 1039 speechocean762/0563     --n-speakers 7 --same-source
T17 b 1040 speechocean762/2031     --n-speakers 7 --same-source
T18 b 1041 speechocean762/2031     --n-speakers 7 --check-in 6
D25 b 1042 speechocean762/2061     --n-speakers 8
D26 b 1043 speechocean762/2061     --n-speakers 8 --check-in 6
T19 b 1044 speechocean762/9611     --n-speakers 6
T20 b 1045 speechocean762/9611     --n-speakers 5 --check-in 6
D27 b 1046 speechocean762/9630     --n-speakers 6 --same-sex
D28 b 1047 speechocean762/9630     --n-speakers 9 --check-in 6
D29 b 1048 speechocean762/1033     --n-speakers 9 --check-in 6
D30 b 1049 speechocean762/1033     --n-speakers 6
T21 b 1050 speechocean762/1156     --n-speakers 7 --check-in 6
T22 b 1051 speechocean762/1156     --n-speakers 6 --same-sex
D31 b 1052 speechocean762/1408     --n-speakers 8 --check-in 6
D32 b 1053 speechocean762/1408     --n-speakers 7 --same-source
T23 b 1054 speechocean762/2252     --n-speakers 5 --check-in 6
T24 b 1055 speechocean762/2252     --n-speakers 8
D33 b 1056 speechocean762/9623     --n-speakers 8
D34 b 1057 speechocean762/9623     --n-speakers 8 --check-in 6
T25 b 1058 speechocean762/9639     --n-speakers 6
T26 b 1059 speechocean762/9639     --n-speakers 5 --check-in 6
U01 a 2000 speechocean762/1260     --n-speakers 7 --check-in 6
U02 b 2001 speechocean762/1033     --n-speakers 7
U03 a 2002 speechocean762/9609     --n-speakers 6 --check-in 6
U04 a 2003 speechocean762/1109     --n-speakers 6 --same-sex
U05 b 2004 libri-test-other/367    --n-speakers 8 --check-in 6
U06 b 2005 speechocean762/9630     --n-speakers 6 --same-source
U07 a 2006 libri-test-other/2033   --n-speakers 9 --check-in 6
U08 a 2007 speechocean762/9613     --n-speakers 8
U09 b 2008 speechocean762/9639     --n-speakers 7 --check-in 6
U10 b 2009 speechocean762/9611     --n-speakers 7
U11 a 2010 libri-test-other/2414   --n-speakers 6 --check-in 6
U12 a 2011 speechocean762/2059     --n-speakers 6 --same-sex
U13 b 2012 speechocean762/2252     --n-speakers 8 --check-in 6
U14 a 2013 speechocean762/2112     --n-speakers 6 --same-source
U15 b 2014 speechocean762/1156     --n-speakers 9 --check-in 6
U16 a 2015 libri-test-other/1998   --n-speakers 8
U17 a 2016 speechocean762/2016     --n-speakers 7 --check-in 6
U18 b 2017 libri-test-other/3331   --n-speakers 7
U19 a 2018 speechocean762/9645     --n-speakers 6 --check-in 6
U20 b 2019 speechocean762/2061     --n-speakers 6 --same-sex
V01 a 3000 ljspeech/LJ                --n-speakers 7 --check-in 6
V02 a 3001 speechocean762/0157        --n-speakers 7
V03 a 3002 speechocean762/0813        --n-speakers 6 --check-in 6
V04 a 3003 speechocean762/0960        --n-speakers 6 --same-sex
V05 a 3004 speechocean762/9626        --n-speakers 8 --check-in 6
V06 b 3005 libri-test-other/3005      --n-speakers 6 --same-source
V07 b 3006 speechocean762/0563        --n-speakers 9 --check-in 6
V08 b 3007 speechocean762/2031        --n-speakers 8
V09 b 3008 speechocean762/1408        --n-speakers 5 --same-sex --check-in 6
V10 b 3009 speechocean762/9623        --n-speakers 7
V11 a 3010 libri-test-other/1998      --n-speakers 7 --check-in 6
V12 a 3011 libri-test-other/2033      --n-speakers 7
V13 a 3012 libri-test-other/2414      --n-speakers 6 --check-in 6
V14 a 3013 speechocean762/2059        --n-speakers 6 --same-sex
V15 a 3014 speechocean762/2112        --n-speakers 8 --check-in 6
V16 a 3015 speechocean762/9613        --n-speakers 6 --same-source
V17 a 3016 speechocean762/9645        --n-speakers 9 --check-in 6
V18 a 3017 speechocean762/1109        --n-speakers 8
V19 a 3018 speechocean762/1260        --n-speakers 5 --same-sex --check-in 6
V20 a 3019 speechocean762/2016        --n-speakers 7
W01 a 4000 libri-test-other/2414      --n-speakers 7 --check-in 6
W02 a 4001 speechocean762/9609        --n-speakers 7
W03 a 4002 speechocean762/2112        --n-speakers 6 --same-sex --check-in 6
W04 a 4003 ljspeech/LJ                --n-speakers 8
W05 a 4004 speechocean762/1260        --n-speakers 9 --check-in 6
W06 a 4005 libri-test-other/1998      --n-speakers 6
W07 a 4006 speechocean762/9645        --n-speakers 5 --check-in 6
W08 a 4007 speechocean762/0157        --n-speakers 7 --same-source
W09 a 4008 libri-test-other/2033      --n-speakers 8 --check-in 6
W10 a 4009 speechocean762/2016        --n-speakers 6 --same-sex
W11 b 4010 libri-test-other/3331      --n-speakers 7 --check-in 6
W12 b 4011 speechocean762/0563        --n-speakers 7
W13 b 4012 speechocean762/9623        --n-speakers 6 --same-sex --check-in 6
W14 b 4013 libri-test-other/367       --n-speakers 8
W15 b 4014 speechocean762/2031        --n-speakers 9 --check-in 6
W16 b 4015 libri-test-other/3005      --n-speakers 6
W17 b 4016 speechocean762/1156        --n-speakers 5 --check-in 6
W18 b 4017 speechocean762/2061        --n-speakers 7 --same-source
W19 b 4018 speechocean762/1408        --n-speakers 8 --check-in 6
W20 b 4019 speechocean762/9611        --n-speakers 6 --same-sex
X01 b 5000 speechocean762/1156      --n-speakers 5 --check-in 6
X02 a 5001 speechocean762/0813      --n-speakers 6
X03 a 5002 speechocean762/9645      --n-speakers 7 --check-in 6
X04 b 5003 speechocean762/9639      --n-speakers 8 --same-sex
X05 a 5004 speechocean762/1109      --n-speakers 9 --check-in 6
X06 b 5005 speechocean762/9630      --n-speakers 5 --same-source
X07 a 5006 speechocean762/2016      --n-speakers 6 --check-in 6
X08 a 5007 libri-test-other/1998    --n-speakers 7
X09 a 5008 speechocean762/9613      --n-speakers 8 --check-in 6 --same-sex
X10 a 5009 speechocean762/1260      --n-speakers 9
X11 b 5010 speechocean762/9623      --n-speakers 5 --check-in 6
X12 b 5011 speechocean762/1408      --n-speakers 6
X13 b 5012 speechocean762/9611      --n-speakers 7 --check-in 6 --same-source
X14 a 5013 speechocean762/9626      --n-speakers 8 --same-sex
X15 b 5014 speechocean762/2031      --n-speakers 9 --check-in 6
X16 b 5015 speechocean762/2061      --n-speakers 5
X17 b 5016 speechocean762/0563      --n-speakers 6 --check-in 6
X18 a 5017 speechocean762/0960      --n-speakers 7
X19 b 5018 libri-test-other/3005    --n-speakers 8 --check-in 6 --same-sex
X20 b 5019 speechocean762/2252      --n-speakers 9 --same-source
Y01 b 5020 libri-test-other/367     --n-speakers 5 --check-in 6
Y02 a 5021 speechocean762/2112      --n-speakers 6
Y03 a 5022 ljspeech/LJ              --n-speakers 7 --check-in 6
Y04 b 5023 libri-test-other/3331    --n-speakers 8 --same-sex
Y05 a 5024 libri-test-other/2414    --n-speakers 9 --check-in 6
Y06 a 5025 libri-test-other/2033    --n-speakers 5
Y07 b 5026 speechocean762/1033      --n-speakers 6 --check-in 6 --same-source
Y08 a 5027 speechocean762/9609      --n-speakers 7
Y09 a 5028 speechocean762/0157      --n-speakers 8 --check-in 6 --same-sex
Y10 a 5029 speechocean762/2059      --n-speakers 9
Y11 b 5030 speechocean762/1156      --n-speakers 5 --check-in 6
Y12 a 5031 speechocean762/0813      --n-speakers 6
Y13 a 5032 speechocean762/9645      --n-speakers 7 --check-in 6
Y14 b 5033 speechocean762/9639      --n-speakers 8 --same-sex --same-source
Y15 a 5034 speechocean762/1109      --n-speakers 9 --check-in 6
Y16 b 5035 speechocean762/9630      --n-speakers 5
Y17 a 5036 speechocean762/2016      --n-speakers 6 --check-in 6
Y18 a 5037 libri-test-other/1998    --n-speakers 7
Y19 a 5038 speechocean762/9613      --n-speakers 8 --check-in 6 --same-sex
Y20 a 5039 speechocean762/1260      --n-speakers 9
"""
_HELD_A = ["ljspeech/LJ", *(f"libri-test-other/{k}" for k in ("1998", "2033", "2414"))]
_HELD_B = [f"libri-test-other/{k}" for k in ("367", "3331", "3005")]
_MUCH_SPEECH = 50.0  # seconds: voices with as much can present


def casts(speech: Path) -> dict[str, dict[str, Any]]:
    """The voices of the three casts, as the builder's split files."""
    first, second = (json.loads((speech / name).read_text()) for name in ("dev.json", "more_voices.json"))
    voices = {**first["speakers"], **second["speakers"]}
    heaps: dict[tuple[str, str, bool], list[str]] = collections.defaultdict(list)
    for name in sorted(voices):
        if name not in (*_HELD_A, *_HELD_B):
            voice = voices[name]
            kind = (voice["source"], voice.get("sex", "?")[0], voice["speech"] >= _MUCH_SPEECH)
            heaps[kind].append(name)
    chosen = {
        "a": {*_HELD_A, *(name for heap in heaps.values() for name in heap[::2])},
        "b": {*_HELD_B, *(name for heap in heaps.values() for name in heap[1::2])},
        "held": {*_HELD_A, *_HELD_B},
    }
    return {
        cast: {
            **first,
            "split": cast,
            "speakers": {name: voice for name, voice in voices.items() if name in names},
            "utterances": [u for u in first["utterances"] + second["utterances"] if u["speaker"] in names],
        }
        for cast, names in chosen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="folder of build_session.py")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    builder = corpus.script_file(options.speech, "build_session")
    options.out.mkdir(parents=True, exist_ok=True)
    for cast, split in casts(options.speech).items():
        (options.out / f"{cast}.json").write_text(json.dumps(split))
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for line in SESSIONS.strip().splitlines():
        name, cast, seed, presenter, *more = line.split()
        folder = options.out / name
        if (folder / "truth.json").exists():
            continue
        split_file = options.out / f"{cast}.json"
        command = [sys.executable, builder, "--split", split_file, "--seed", seed]
        command += ["--presenter", presenter, "--out", folder, *more]
        subprocess.run(command, check=True, env=one_thread, stdout=subprocess.DEVNULL)
        print(name)


if __name__ == "__main__":
    main()

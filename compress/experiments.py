"""Lists the plans and verbs of `python -m compress`, without torch: --help and --list read this.

smoke dynamic dynamic_*    should connections move?                         compress.plans.dynamic
bytes bytes_*              is where to connect worth its bits?              compress.plans.coded
deep deep_*                how small a file holds a net that is as good?    compress.plans.deep
tickets tickets_*          do lottery tickets replicate?                    compress.plans.tickets
int8 int8_*                what does int8 cost in accuracy and bytes?       compress.plans.int8
"""

from compress.plans import coded, deep, dynamic, int8, tickets
from harness.cli import Verb

PLANS = {**dynamic.PLANS, **coded.PLANS, **deep.PLANS, **tickets.PLANS, **int8.PLANS}

VERBS = {
    "pack": Verb("Makes a small file of a net's state.", "compress.file.verbs:pack"),
    "unpack": Verb("Writes the state that is in such a file.", "compress.file.verbs:unpack"),
    "sizes": Verb("Shows what the bytes of such a file are for.", "compress.file.verbs:show"),
    "verify": Verb(
        "Checks the identities that compressed nets must fulfil.",
        "compress.identities.findings:main",
    ),
}

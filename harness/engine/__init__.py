"""Where the members of a sweep run: one class for each kind of place, a word of `--engine` each.

    crew -- Members(argv, size, env, ...) --> engine -- one event a line, as a list --> crew

Every member is the same command once more: members share the work by claiming runs
(harness.record.store), so there is nothing to divide. They tell what they do as JSON lists on
stdout (harness.sweep.show.Events). Another engine is one more class with what
harness.engine.protocol asks for, and an entry here:

    ENGINES["queue"] = Queue()

Nothing above knows which it is, nor asks this machine what it has: members need only the command,
the environment and the results folder.
"""

from harness.engine.local import Local
from harness.engine.protocol import Engine
from harness.engine.ray import Ray
from harness.engine.slurm import Slurm

ENGINES: dict[str, Engine] = {"local": Local(), "slurm": Slurm(), "ray": Ray()}

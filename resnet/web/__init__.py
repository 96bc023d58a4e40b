"""The page that runs a ResNet with early exits: onnxruntime-web, and the net in parts beside it.

page.py      the verb: the net of a run, as a folder that a browser opens without a server
runtime.py   the user's copy of onnxruntime-web: where it lies, and what to type where it does not
packed.py    files as scripts: a page that was opened from a disk may load these, and no others
facts.py     what the page knows of the net: costs, thresholds, pictures of the test set
exits.html exits.css run.js screen.js    the page
"""

"""Makes `site/`: notebooks, reports and demo pages as files that need no network (`make site`).

notebook      a notebook as a page            report    a published record as a page
markup        what is repaired in its HTML    demo      the pages that compute
source        a file that a page refers to    index     what there is, with a picture each
"""

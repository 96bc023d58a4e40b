"""The page that reads drawn digits: a trained net with an early exit, packed into one HTML file.

page.py     the verb: finds a net or trains one, gives it an exit, writes the file
exit.py     an exit after the first hidden layer, and when it is sure enough
packed.py   weights as text: values in float32 or int8, which inputs they belong to in uint16
digit.html digit.css digit.js screen.js way.js    the page
"""

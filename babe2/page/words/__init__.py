"""The page's words in other languages than English, one file of them for each.

English stands in the code and is the key, as in gettext; `NAME.yaml` says the same in another language, and words.js
puts that into the page, in the visitor's browser. Nothing that goes to the server or comes from it changes.
"""

"""Properties that a unit may follow: marks or numbers for the characters of a text.

All are found by plain rules, in time that grows with the length of the text whatever it holds.
"""

from gridlstm.analysis.properties.own import from_span, own_pattern
from gridlstm.analysis.properties.property import Property, PropertyError
from gridlstm.analysis.properties.registry import PROPERTIES, measure_named, property_named
from gridlstm.analysis.properties.urls import inside_url

__all__ = [
    "PROPERTIES",
    "Property",
    "PropertyError",
    "from_span",
    "inside_url",
    "measure_named",
    "own_pattern",
    "property_named",
]

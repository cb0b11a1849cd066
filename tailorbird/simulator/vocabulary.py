"""The shop's words: departments with their shelves, styles, colours, materials and brands."""

import json

import numpy as np

DEPARTMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Outdoor": {
        "Tents": ("dome tent", "trekking tent", "family tent", "tarp shelter"),
        "Sleeping Bags": ("sleeping bag", "quilt", "bag liner", "camping blanket"),
        "Backpacks": ("daypack", "trekking backpack", "rolltop pack", "hip pack"),
        "Camp Kitchen": ("gas stove", "camping pot", "thermos flask", "spork set"),
        "Lighting": ("headlamp", "lantern", "string light", "torch"),
    },
    "Sport": {
        "Running": ("running shoe", "running vest", "hydration belt", "track jacket"),
        "Cycling": ("bike helmet", "saddle bag", "cycling jersey", "floor pump"),
        "Yoga": ("yoga mat", "yoga block", "meditation cushion", "stretch band"),
        "Climbing": ("climbing harness", "chalk bag", "carabiner set", "climbing rope"),
        "Swimming": ("swim goggles", "swimsuit", "swim cap", "dry towel"),
    },
    "Kitchen": {
        "Cookware": ("frying pan", "saucepan", "casserole", "wok"),
        "Knives": ("chef's knife", "paring knife", "bread knife", "knife block"),
        "Coffee": ("coffee grinder", "pour-over dripper", "espresso cup", "moka pot"),
        "Baking": ("loaf tin", "rolling pin", "mixing bowl", "cake stand"),
        "Storage": ("glass jar", "lunch box", "spice rack", "bread bin"),
    },
    "Home": {
        "Bedding": ("duvet cover", "pillowcase", "throw", "bed sheet"),
        "Lamps": ("table lamp", "floor lamp", "pendant lamp", "night light"),
        "Rugs": ("wool rug", "runner", "door mat", "bath rug"),
        "Plants": ("plant pot", "watering can", "plant stand", "hanging planter"),
    },
    "Office": {
        "Notebooks": ("notebook", "planner", "sketchbook", "journal"),
        "Pens": ("fountain pen", "gel pen", "pencil set", "brush pen"),
        "Desk": ("desk organiser", "monitor stand", "desk pad", "cable box"),
        "Bags": ("laptop bag", "tote bag", "messenger bag", "document sleeve"),
    },
    "Children": {
        "Toys": ("wooden train", "stacking game", "puppet", "marble run"),
        "Books": ("picture book", "activity book", "bedtime book", "puzzle book"),
        "Clothes": ("rain jacket", "knit cap", "pyjamas", "dungarees"),
        "Crafts": ("paint set", "clay kit", "sticker set", "bead kit"),
    },
    "Music": {
        "Headphones": ("over-ear headphones", "earbuds", "studio headphones", "headphone case"),
        "Speakers": ("portable speaker", "bookshelf speaker", "soundbar", "turntable"),
        "Instruments": ("ukulele", "kalimba", "melodica", "practice keyboard"),
        "Accessories": ("guitar strap", "metronome", "music stand", "string set"),
    },
    "Care": {
        "Skin": ("face cream", "cleansing balm", "hand cream", "face oil"),
        "Hair": ("shampoo bar", "hair brush", "conditioner", "hair oil"),
        "Bath": ("bath salt", "body soap", "loofah", "bath oil"),
        "Shaving": ("safety razor", "shaving brush", "beard oil", "aftershave"),
    },
}
"""Department ▸ shelf ▸ kinds of goods. A shelf is the leaf of the category path."""

STYLES: dict[str, tuple[str, ...]] = {
    "minimalist": ("minimalist", "clean lines", "understated", "plain", "reduced"),
    "rustic": ("rustic", "hand-hewn", "farmhouse", "earthy", "weathered"),
    "vintage": ("vintage", "retro", "nostalgic", "seventies", "heritage"),
    "playful": ("playful", "whimsical", "cheerful", "quirky", "bold print"),
    "technical": ("technical", "lab-tested", "high-performance", "precision", "aerodynamic"),
    "luxury": ("luxurious", "premium", "opulent", "polished", "exclusive"),
    "natural": ("natural", "organic", "plant-based", "undyed", "sustainable"),
    "urban": ("urban", "street", "commuter", "industrial", "monochrome"),
    "nordic": ("nordic", "hygge", "cosy", "birch", "scandinavian"),
    "classic": ("classic", "timeless", "traditional", "elegant", "tailored"),
}
"""Style ▸ words that its goods are described with: how content tells taste."""

COLOURS = (
    "forest green",
    "midnight blue",
    "sand",
    "charcoal",
    "rust",
    "ivory",
    "sky blue",
    "mustard",
    "plum",
    "teal",
)
MATERIALS = (
    "cotton",
    "steel",
    "bamboo",
    "wool",
    "recycled nylon",
    "beech",
    "ceramic",
    "leather",
    "cork",
    "linen",
)
BRANDS = (
    *(
        "Alder",
        "Birkin",
        "Calla",
        "Dunmore",
        "Elmet",
        "Fjordlyn",
        "Garrick",
        "Haldane",
        "Isola",
        "Juno & Moss",
    ),
    *("Kestrel", "Lumen", "Marlow", "Nordvik", "Oakhurst", "Pica", "Quill", "Rowan", "Solenne", "Tamarack"),
    *(
        "Umbra Vale",
        "Verity",
        "Wexford",
        "Yarrow",
        "Zephyr",
        "Ashgrove",
        "Bramble",
        "Cobalt",
        "Drift",
        "Ember",
    ),
    *("Fennel", "Granite", "Harbour", "Indigo", "Jasper", "Kelp", "Larch", "Meadow", "Nettle", "Onyx"),
)

COMPLEMENTS: dict[str, tuple[str, str]] = {
    "Tents": ("Sleeping Bags", "Lighting"),
    "Sleeping Bags": ("Backpacks", "Camp Kitchen"),
    "Backpacks": ("Camp Kitchen", "Climbing"),
    "Camp Kitchen": ("Lighting", "Coffee"),
    "Lighting": ("Tents", "Lamps"),
    "Running": ("Headphones", "Swimming"),
    "Cycling": ("Bags", "Running"),
    "Yoga": ("Bath", "Plants"),
    "Climbing": ("Backpacks", "Running"),
    "Swimming": ("Hair", "Cycling"),
    "Cookware": ("Knives", "Storage"),
    "Knives": ("Cookware", "Baking"),
    "Coffee": ("Baking", "Notebooks"),
    "Baking": ("Storage", "Coffee"),
    "Storage": ("Cookware", "Desk"),
    "Bedding": ("Rugs", "Lamps"),
    "Lamps": ("Bedding", "Desk"),
    "Rugs": ("Plants", "Bedding"),
    "Plants": ("Lamps", "Skin"),
    "Notebooks": ("Pens", "Bags"),
    "Pens": ("Notebooks", "Crafts"),
    "Desk": ("Lamps", "Headphones"),
    "Bags": ("Desk", "Cycling"),
    "Toys": ("Books", "Crafts"),
    "Books": ("Toys", "Bedding"),
    "Clothes": ("Toys", "Swimming"),
    "Crafts": ("Pens", "Books"),
    "Headphones": ("Speakers", "Running"),
    "Speakers": ("Accessories", "Headphones"),
    "Instruments": ("Accessories", "Headphones"),
    "Accessories": ("Instruments", "Speakers"),
    "Skin": ("Hair", "Bath"),
    "Hair": ("Skin", "Shaving"),
    "Bath": ("Skin", "Yoga"),
    "Shaving": ("Skin", "Hair"),
}
"""Shelf ▸ the two shelves that people turn to next: how order tells intent."""

SHELVES: tuple[tuple[str, str], ...] = tuple(
    (department, shelf) for department, shelves in DEPARTMENTS.items() for shelf in shelves
)
COUNTRIES = ("DE", "FR", "GB", "NL", "SE", "IT")
DEVICES = ("mobile", "desktop", "tablet")
REFERRERS = ("direct", "search", "email", "social")


def contexts_as_json() -> np.ndarray:
    """(2, n_referrers) JSON texts by mobile or not and referrer."""
    return np.array(
        [
            [json.dumps({"device": device, "referrer": referrer}) for referrer in REFERRERS]
            for device in (DEVICES[1], DEVICES[0])
        ],
        dtype=object,
    )


def queries_as_json() -> np.ndarray:
    """(n_shelves,) JSON texts: what people type who look for a shelf."""
    return np.array([json.dumps({"query": shelf.lower()}) for _, shelf in SHELVES], dtype=object)

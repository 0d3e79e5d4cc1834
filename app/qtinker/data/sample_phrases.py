"""The building blocks of the bundled sample: what customers of an invented shop write."""

from __future__ import annotations

ITEMS = (
    "lamp", "jacket", "kettle", "backpack", "keyboard", "tent", "blender", "chair", "speaker", "watch", "raincoat",
    "toaster", "camera", "headphones", "boots", "drill", "mirror", "printer", "bicycle helmet", "coffee machine",
    "office chair", "sleeping bag", "desk lamp", "winter coat", "phone case", "garden hose", "alarm clock",
    "sofa cover",
)  # fmt: skip
COLORS = ("black", "white", "red", "blue", "green", "grey", "brown", "yellow")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "yesterday", "last week", "two days ago")
NUMBERS = ("two", "three", "four", "five", "ten", "20", "30", "45", "60", "80")
PEOPLE = ("my sister", "my father", "a colleague", "my daughter", "our office", "a friend", "my neighbour")
PLACES = ("Leeds", "Porto", "Ghent", "Oslo", "Turin", "Krakow", "Bergen", "Cork")

# ask: what the customer wants now. done: the topic is settled, so it is not what the message is about.
# thing: the topic in a few words, to be wanted or not wanted. short: all that a hurried customer types.
TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "delivery": {
        "ask": (
            "where is my {item}", "my {item} still has not arrived", "when will my order be delivered",
            "the tracking page has shown the same line since {day}",
            "the courier says it was delivered but nothing is here",
            "the parcel seems to be lost", "can the {item} be brought to {place} instead",
            "how long does shipping take now",
            "I have been waiting {number} days for the {item}", "please leave the box with {person} when it comes",
        ),
        "done": (
            "the {item} arrived on time", "the parcel came {day}", "the courier found my door after all",
            "the box was delivered without a scratch", "the tracking works again",
        ),
        "thing": ("the parcel", "the tracking number", "faster shipping", "a delivery date"),
        "short": ("where is it", "parcel lost", "not delivered", "still waiting", "no tracking", "late again"),
    },
    "refund": {
        "ask": (
            "I want my money back", "please pay back the {number} euros", "when will I see the money on my account",
            "I returned the {item} {day} and have not been paid yet", "how long does a refund take",
            "you only paid back half of the price", "please send the money to my card",
            "I expect the full price of the {item} back", "the {number} euros you owe me are not on my card",
        ),
        "done": (
            "the refund came {day}", "the money is back on my card", "you paid back the {item} already",
            "I have got my {number} euros back",
        ),
        "thing": ("a refund", "my money", "the money back", "the full price back"),
        "short": ("refund please", "money back", "where is my money", "pay me back", "refund missing"),
    },
    "exchange": {
        "ask": (
            "can I swap the {item} for a bigger one", "I need the {item} in {color} instead of {color}",
            "you sent me the {color} one but I ordered {color}", "the {item} is too small, what about the next size",
            "please send another {item} in exchange for this one",
            "I would like the {color} model in place of this one",
            "may {person} change the {item} for a different size", "the wrong {item} was in the box",
        ),
        "done": (
            "the swapped {item} fits", "you exchanged the {item} {day}", "the other size came",
            "I could change the {color} one in the shop",
        ),
        "thing": ("an exchange", "another size", "a different colour", "the {color} model"),
        "short": ("wrong size", "too small", "swap it please", "other colour please", "wrong colour sent"),
    },
    "payment": {
        "ask": (
            "my card was charged twice", "the voucher code does not work", "my card was declined at the checkout",
            "the invoice shows {number} euros too much", "can I pay by invoice", "the discount was not taken off",
            "the checkout does not accept my card", "I need an invoice with the address of {person}",
            "you took {number} euros from my account for nothing",
        ),
        "done": (
            "the payment went through {day}", "the voucher worked", "the invoice is correct now",
            "my card is charged only once",
        ),
        "thing": ("the invoice", "the discount", "a receipt", "a voucher"),
        "short": ("card declined", "charged twice", "voucher fails", "wrong invoice", "no discount"),
    },
    "account": {
        "ask": (
            "I cannot log in", "the link for a new password never comes",
            "please change my email to the one of {person}",
            "delete my account and all data", "someone else is using my account",
            "the app logs me out every {number} minutes",
            "how do I put a new address into my profile", "my login stopped working {day}",
        ),
        "done": (
            "I can log in again", "my new password works", "the email in my profile is right now",
            "my account is open again",
        ),
        "thing": ("a new password", "a new email", "a new login", "access to my account"),
        "short": ("login broken", "forgot password", "close my account", "account locked", "no access"),
    },
    "repair": {
        "ask": (
            "the {item} stopped working after {number} days", "the {item} broke when I used it",
            "can the {item} be mended",
            "the switch of the {item} is loose", "is the {item} still under warranty",
            "the {item} makes a strange noise",
            "the zip of the {item} came off {day}", "where can I send the broken {item} to be repaired",
        ),
        "done": (
            "the {item} works again", "your workshop mended the {item}", "the new switch holds", "the noise is gone",
        ),
        "thing": ("a repair", "a spare part", "the warranty", "a new switch"),
        "short": ("it is broken", "stopped working", "repair please", "warranty case", "strange noise"),
    },
}  # fmt: skip

OBJECTS: dict[str, tuple[str, ...]] = {
    "order": ("my order", "the parcel", "the box", "my delivery"),
    "money": ("the payment", "the money", "the amount", "my transfer"),
    "bill": ("the invoice", "the bill", "the receipt"),
    "login": ("the login page", "my password", "the app", "my profile"),
    "item": ("the {item}", "the {color} {item}", "my {item}"),
    "voucher": ("the voucher", "the discount code", "the gift card"),
}
PROBLEMS: dict[str, tuple[str, ...]] = {
    "missing": ("never came", "is still missing", "has not turned up"),
    "wrong": ("is wrong", "is not what I expected", "does not match"),
    "twice": ("came twice", "shows up two times", "is there twice"),
    "broken": ("does not work", "is broken", "fails every time"),
    "late": ("takes too long", "is late", "took far too long"),
    "change": ("must be changed", "should be a different one", "needs a change"),
}
DESKS: dict[str, tuple[str, ...]] = {
    "order": ("delivery", "exchange", "refund", "repair", "delivery", "account"),
    "money": ("refund", "payment", "payment", "account", "refund", "exchange"),
    "bill": ("account", "payment", "refund", "repair", "delivery", "payment"),
    "login": ("account", "exchange", "payment", "repair", "account", "account"),
    "item": ("delivery", "exchange", "refund", "repair", "delivery", "exchange"),
    "voucher": ("delivery", "refund", "account", "exchange", "refund", "payment"),
}
"""Who deals with an object (row) that has a problem (column, in the order of PROBLEMS): neither alone decides."""

CONFUSED = {
    "delivery": "exchange", "refund": "payment", "exchange": "repair", "payment": "refund", "account": "payment",
    "repair": "exchange",
}  # fmt: skip
"""Whom a tired clerk would have given a message to."""

GREETINGS = (
    "hello", "hi there", "good morning", "dear team", "hi", "good evening", "dear sir or madam", "hello again",
)  # fmt: skip
CLOSINGS = (
    "thank you", "thanks in advance", "please answer soon", "kind regards", "I am looking forward to your reply",
    "have a nice day", "please write back to my email", "I hope that is possible",
)  # fmt: skip
FILLERS = (
    "I ordered the {item} on {day}", "the order was for {person} in {place}", "I paid {number} euros with my card",
    "I have been a customer for {number} years", "I wrote to you {day} already", "I also called your service {day}",
    "the {item} was a present for {person}", "my account shows the order", "the parcel was sent from {place}",
    "I like the {color} {item} a lot", "your page is easy to use", "the box had a {color} label",
    "I read the conditions twice", "{person} told me about your shop", "I live in {place}",
)  # fmt: skip

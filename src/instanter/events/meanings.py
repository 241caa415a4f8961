"""What each known event name means: the one table that spellings, built-in features, outcomes and the docs follow.

A name has one role, and whatever is built in hears roles: a name that is added here with the role `VIEW` counts as a
view everywhere. `docs/events.md` is written from this table and says for each name what hears it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Role(StrEnum):
    """What an event does to what is kept of people and items."""

    SHOWN = "a list was shown"
    VIEW = "a view"
    CLICK = "a click"
    READ = "read or watched: a stronger interest than a view"
    LIKE = "a like or a wish"
    UNLIKE = "takes a like or a wish back"
    CART = "into the cart"
    UNCART = "out of the cart"
    ORDER = "an order"
    ORDER_CHANGE = "an order that was changed: the same order"
    CLAIM = "an order that only the visitor's device tells of"
    REFUND = "takes an order back, or the items that it names"
    CANCEL = "takes an order back"
    SEARCH = "a search"
    PRESENCE = "a sign of life"
    PAGE = "about a page, not about an item"
    OTHER = "kept"


class Meaning(msgspec.Struct, frozen=True):
    """One known name."""

    name: str
    role: Role
    family: str
    spellings: tuple[str, ...] = ()
    """Other names of the same, beside its own in any writing and with the verb first."""
    items: bool = False
    """Whether such an event names items."""


def _family(family: str, *rows: tuple[str, Role, bool, str]) -> tuple[Meaning, ...]:
    """Rows are a name, its role, whether it names items, and its other spellings with bars between."""
    return tuple(
        Meaning(name, role, family, tuple(filter(None, spellings.split("|"))), items)
        for name, role, items, spellings in rows
    )


_R = Role
MEANINGS: Final[tuple[Meaning, ...]] = (
    *_family(
        "e-commerce",
        ("Products Searched", _R.SEARCH, False,
         "Searched Products|Product Searched|search|view_search_results|site_search|internal_search|search_submitted|"
         "Site Search|Search Performed|Searched"),
        ("Product List Viewed", _R.SHOWN, True,
         "Viewed Product Category|Product Category Viewed|Viewed Category|Category Viewed|view_item_list|view_category|"
         "collection_viewed|Collection Viewed|Product Impressions|Product Impression|Item List Viewed|View List|"
         "category-page-view"),
        ("Product List Filtered", _R.SHOWN, True, "Filtered Product List"),
        ("Product Clicked", _R.CLICK, True, "select_item|Item Clicked|product_click|Product Selected|Item Selected"),
        ("Product Viewed", _R.VIEW, True,
         "view_item|Item Viewed|Product Detail Viewed|Product Details Viewed|product_detail|product_view|"
         "Product Page Viewed|setEcommerceView|View Content|Viewed Item|prodView|detail-page-view|"
         "commerce.productViews"),
        ("Product Added", _R.CART, True,
         "Added to Cart|add_to_cart|Product Added to Cart|Item Added to Cart|Added to Basket|add_to_basket|"
         "Product Added to Basket|Cart Item Added|addEcommerceItem|Added Product to Cart|Add Cart|scAdd|"
         "commerce.productListAdds"),
        ("Product Removed", _R.UNCART, True,
         "Removed from Cart|remove_from_cart|Product Removed from Cart|Item Removed from Cart|Removed from Basket|"
         "remove_from_basket|Product Removed from Basket|Cart Item Removed|removeEcommerceItem|scRemove|"
         "commerce.productListRemovals"),
        ("Product Shared", _R.LIKE, True, "share|Shared|Item Shared"),
        ("Product Reviewed", _R.READ, True, "Review Submitted|Reviewed Item|Product Rated"),
        ("Product Added to Wishlist", _R.LIKE, True,
         "Added to Wishlist|add_to_wishlist|Wishlist Product Added|Wishlist Item Added|Item Added to Wishlist|"
         "Added Product to Wishlist|Product Favorited|Product Favourited|Product Saved|Added to Favorites|"
         "Added to Favourites|add_to_favorites|Product Wishlisted|Favorite Added|Favourite Added"),
        ("Product Removed from Wishlist", _R.UNLIKE, True,
         "Removed from Wishlist|remove_from_wishlist|Wishlist Product Removed|Wishlist Item Removed|"
         "Item Removed from Wishlist|Removed Product from Wishlist|Product Unfavorited|Product Unfavourited|"
         "Product Unsaved|Removed from Favorites|Removed from Favourites|remove_from_favorites|Favorite Removed|"
         "Favourite Removed"),
        ("Wishlist Product Added to Cart", _R.CART, True, "Wishlist Item Added to Cart"),
        ("Cart Viewed", _R.PRESENCE, True,
         "view_cart|Basket Viewed|View Basket|scView|shopping-cart-page-view|commerce.productListViews"),
        ("Cart Shared", _R.PRESENCE, True, ""),
        ("Cart Updated", _R.PRESENCE, True, "trackEcommerceCartUpdate|Ecommerce Cart Update|carts/update|Cart Update"),
        ("Checkout Started", _R.PRESENCE, True,
         "begin_checkout|Started Checkout|Initiate Checkout|Checkout Initiated|checkouts/create|Start Checkout|"
         "scCheckout|commerce.checkouts"),
        ("Checkout Step Viewed", _R.PRESENCE, False, "checkout_contact_info_submitted"),
        ("Checkout Step Completed", _R.PRESENCE, False,
         "add_shipping_info|Shipping Info Added|checkout_address_info_submitted|checkout_shipping_info_submitted"),
        ("Payment Info Entered", _R.PRESENCE, False, "add_payment_info|Payment Info Added|payment_info_submitted"),
        ("Order Completed", _R.ORDER, True,
         "purchase|Purchased|Purchase Completed|Order Placed|Placed Order|Order Confirmed|checkout_completed|"
         "Checkout Completed|in_app_purchase|trackEcommerceOrder|Ecommerce Order|orders/create|orders/paid|"
         "Transaction Completed|Order Created|Order Paid|Transaction|trackTransaction|purchase-complete|"
         "Complete Payment|commerce.purchases"),
        ("Order Updated", _R.ORDER_CHANGE, True, "orders/updated|orders/edited|Order Edited"),
        ("Order Claimed", _R.CLAIM, True, ""),
        ("Order Refunded", _R.REFUND, True,
         "refund|Refunded|refunds/create|app_store_refund|Product Returned|Order Returned|Refund Created|"
         "Order Partially Refunded|Product Refunded"),
        ("Order Cancelled", _R.CANCEL, True, "Order Canceled|orders/cancelled|orders/canceled|Purchase Cancelled"),
        ("Promotion Viewed", _R.SHOWN, True,
         "view_promotion|Promotion Impression|Internal Promotion Viewed|Promotion View"),
        ("Promotion Clicked", _R.CLICK, True,
         "select_promotion|Promotion Selected|Internal Promotion Clicked|Promotion Click"),
        ("Coupon Entered", _R.PRESENCE, False, ""),
        ("Coupon Applied", _R.PRESENCE, False, ""),
        ("Coupon Denied", _R.PRESENCE, False, ""),
        ("Coupon Removed", _R.PRESENCE, False, ""),
    ),
    *_family(
        "content",
        ("Article Viewed", _R.VIEW, True,
         "Content Viewed|Post Viewed|Story Viewed|Article Opened|Article Page Viewed|Recipe Viewed|Episode Viewed"),
        ("Article Clicked", _R.CLICK, True,
         "select_content|Content Clicked|Content Selected|Post Clicked|Teaser Clicked|Content Interaction|"
         "trackContentInteraction"),
        ("Article List Viewed", _R.SHOWN, True,
         "Content List Viewed|Content Impression|trackContentImpression|Teaser List Viewed|Feed Viewed"),
        ("Article Read", _R.READ, True,
         "Content Read|Post Read|Story Read|Article Completed|Article Finished|Article Read Through|Content Consumed"),
        ("Article Liked", _R.LIKE, True,
         "Content Liked|Post Liked|Story Liked|Article Saved|Article Bookmarked|Bookmark Added|Content Bookmarked|"
         "Article Favorited|Article Favourited|Content Saved"),
        ("Article Unliked", _R.UNLIKE, True,
         "Content Unliked|Post Unliked|Story Unliked|Article Unsaved|Bookmark Removed|Content Unsaved|"
         "Article Like Removed|Article Unbookmarked"),
        ("Article Shared", _R.LIKE, True, "Content Shared|Post Shared|Story Shared"),
        ("Article Commented", _R.READ, True, "Comment Added|Comment Posted|Content Commented"),
    ),
    *_family(
        "video",
        ("Video Playback Started", _R.VIEW, True,
         "video_start|Video Started|Video Played|Video Viewed|Video Opened|Audio Playback Started|Episode Started|"
         "Media Started|Podcast Played|Song Played|Audio Played"),
        ("Video Content Started", _R.VIEW, True, ""),
        ("Video Playback Completed", _R.READ, True,
         "video_complete|Video Completed|Video Watched|Video Finished|Audio Playback Completed|Episode Completed|"
         "Media Completed"),
        ("Video Content Completed", _R.READ, True, ""),
        ("Video Liked", _R.LIKE, True, "Video Saved|Video Favorited|Video Favourited|Video Shared"),
        ("Video Unliked", _R.UNLIKE, True, "Video Unsaved|Video Like Removed"),
        ("Video Content Playing", _R.PRESENCE, True, "video_progress|Video Progress|Video Progressed"),
        ("Video Playback Paused", _R.PRESENCE, True, "Video Paused"),
        ("Video Playback Resumed", _R.PRESENCE, True, "Video Resumed"),
        ("Video Playback Interrupted", _R.PRESENCE, True, ""),
        ("Video Playback Exited", _R.PRESENCE, True, ""),
        ("Video Playback Seek Started", _R.PRESENCE, True, ""),
        ("Video Playback Seek Completed", _R.PRESENCE, True, ""),
        ("Video Playback Buffer Started", _R.PRESENCE, True, ""),
        ("Video Playback Buffer Completed", _R.PRESENCE, True, ""),
        ("Video Ad Started", _R.PRESENCE, False, ""),
        ("Video Ad Playing", _R.PRESENCE, False, ""),
        ("Video Ad Clicked", _R.PRESENCE, False, ""),
        ("Video Ad Skipped", _R.PRESENCE, False, ""),
        ("Video Ad Completed", _R.PRESENCE, False, ""),
    ),
    *_family(
        "behaviour",
        ("Page Left", _R.PAGE, True, "Page Exited|Page Unloaded"),
        ("Page Back", _R.PAGE, False, ""),
        ("Rage Clicked", _R.PAGE, False, "Rage Click"),
        ("Dead Clicked", _R.PAGE, False, "Dead Click"),
        ("Help Viewed", _R.PAGE, False, ""),
        ("Price Compared", _R.PAGE, True, ""),
        ("Page Scrolled", _R.PAGE, False, "scroll"),
        ("Link Clicked", _R.PAGE, False, "click|Outbound Link Clicked|outlink"),
        ("File Downloaded", _R.PAGE, False, "file_download|download"),
        ("Form Started", _R.PAGE, False, "form_start"),
        ("Form Submitted", _R.PAGE, False, "form_submit|Form Completed|Submit Form"),
        ("User Engaged", _R.PAGE, False, "user_engagement"),
        ("Heartbeat", _R.PAGE, False, "page_ping|ping"),
    ),
    *_family(
        "pages and people",
        ("Page Viewed", _R.PRESENCE, False, "page_view|pageview|Viewed Page|Loaded a Page"),
        ("Screen Viewed", _R.PRESENCE, False, "screen_view|screenview"),
        ("Session Started", _R.PRESENCE, False, "session_start|Active on Site"),
        ("First Visited", _R.PRESENCE, False, "first_visit|first_open"),
        ("Identified", _R.OTHER, False, ""),
        ("Grouped", _R.OTHER, False, ""),
        ("Aliased", _R.OTHER, False, ""),
        ("Signed Up", _R.PRESENCE, False, "sign_up|Account Registered|User Registered|Registered|User Signed Up|"
         "Complete Registration"),
        ("Signed In", _R.PRESENCE, False, "login|Logged In|User Signed In|User Logged In"),
        ("Signed Out", _R.OTHER, False, "logout|Logged Out|User Signed Out|User Logged Out"),
        ("Lead Generated", _R.PRESENCE, False, "generate_lead|Lead"),
        ("Group Joined", _R.PRESENCE, False, "join_group"),
        ("Experiment Viewed", _R.OTHER, False, "experience_impression|Experiment Entered"),
    ),
    *_family(
        "mobile",
        ("Application Installed", _R.PRESENCE, False, "App Installed"),
        ("Application Opened", _R.PRESENCE, False, "app_open|App Opened|Application Foregrounded|App Foregrounded"),
        ("Application Backgrounded", _R.OTHER, False, "app_background|App Backgrounded"),
        ("Application Updated", _R.OTHER, False, "app_update|App Updated"),
        ("Application Crashed", _R.OTHER, False, "app_exception|App Crashed"),
        ("Application Uninstalled", _R.OTHER, False, "app_remove|App Uninstalled"),
        ("Push Notification Received", _R.OTHER, False, "notification_receive|Push Received"),
        ("Push Notification Tapped", _R.PRESENCE, False, "notification_open|Push Opened|Push Notification Opened"),
        ("Push Notification Bounced", _R.OTHER, False, ""),
        ("Deep Link Opened", _R.PRESENCE, False, "dynamic_link_app_open"),
        ("Deep Link Clicked", _R.PRESENCE, False, ""),
        ("Install Attributed", _R.OTHER, False, ""),
    ),
    *_family(
        "software as a service",
        ("Account Created", _R.PRESENCE, False, "Workspace Created"),
        ("Account Deleted", _R.OTHER, False, "Workspace Deleted"),
        ("Account Added User", _R.OTHER, False, "User Added"),
        ("Account Removed User", _R.OTHER, False, "User Removed"),
        ("Invite Sent", _R.PRESENCE, False, "Invitation Sent|User Invited"),
        ("Trial Started", _R.PRESENCE, False, "start_trial"),
        ("Trial Ended", _R.OTHER, False, ""),
        ("Subscription Started", _R.PRESENCE, False, "subscribe|Subscribed"),
        ("Subscription Cancelled", _R.OTHER, False, "Subscription Canceled|unsubscribe"),
        ("Feature Used", _R.PRESENCE, False, ""),
    ),
    *_family(
        "email and live chat",
        ("Email Delivered", _R.OTHER, False, ""),
        ("Email Opened", _R.OTHER, False, "Opened Email"),
        ("Email Link Clicked", _R.PRESENCE, False, "Email Clicked|Clicked Email"),
        ("Email Bounced", _R.OTHER, False, ""),
        ("Email Marked as Spam", _R.OTHER, False, ""),
        ("Unsubscribed", _R.OTHER, False, "Email Unsubscribed"),
        ("Live Chat Conversation Started", _R.PRESENCE, False, "Chat Started"),
        ("Live Chat Conversation Ended", _R.OTHER, False, "Chat Ended"),
        ("Live Chat Message Sent", _R.PRESENCE, False, ""),
        ("Live Chat Message Received", _R.OTHER, False, ""),
    ),
)  # fmt: skip

BY_NAME: Final = {meaning.name: meaning for meaning in MEANINGS}
"""The known names."""

PARTIAL: Final = frozenset(meaning.name for meaning in MEANINGS if meaning.role is Role.REFUND)
"""Names that take back the whole order, or only the items where they name some."""
BOUND_TO_ORDER: Final = frozenset(meaning.name for meaning in MEANINGS if meaning.role is Role.ORDER_CHANGE)
"""Names that say something of an order only where they name it: without its id nobody knows which."""


def names_with(*roles: Role) -> tuple[str, ...]:
    """The names that have one of these roles, role by role.

    >>> names_with(Role.CANCEL, Role.CLAIM)
    ('Order Cancelled', 'Order Claimed')
    """
    return tuple(meaning.name for role in roles for meaning in MEANINGS if meaning.role is role)


_ROLE_NUMBERS: Final = {
    Role.SHOWN: 1, Role.VIEW: 2, Role.CLICK: 3, Role.READ: 4, Role.LIKE: 5, Role.UNLIKE: 6, Role.CART: 7,
    Role.UNCART: 8, Role.ORDER: 9, Role.ORDER_CHANGE: 10, Role.CLAIM: 11, Role.REFUND: 12, Role.CANCEL: 13,
    Role.SEARCH: 14, Role.PRESENCE: 15, Role.PAGE: 16, Role.OTHER: 17,
}  # fmt: skip
"""As stored with steps: the number of a role that goes is not used again."""


def number_of_role(name: str) -> int:
    """The number of the role of an event's name, from 1 to 255; 0 for a name that is not known.

    >>> number_of_role("Product Viewed"), number_of_role("Order Completed"), number_of_role("Looked At")
    (2, 9, 0)
    """
    meaning = BY_NAME.get(name)
    return 0 if meaning is None else _ROLE_NUMBERS[meaning.role]

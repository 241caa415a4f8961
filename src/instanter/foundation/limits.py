"""Every bound in one place. Reaching one is counted, answered clearly, and has a test."""

from __future__ import annotations

# Wire.
BATCH_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""4 MiB of events, as clients count them that send once they have so many; one more event, and what stands between."""
BATCH_SENT_BYTES_MAX = 500 * 1024
"""A batch as our own commands send it: smaller ones give others their turn."""
EVENT_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 1024 * 1024
"""Largest body of any other request, decompressed too."""
BODY_MEMBERS_MAX = 1_024
"""Compressed streams, one behind the other, in one body."""
BATCH_EVENTS_MAX = 5_000
BATCH_EXPANDED_BYTES_MAX = 4 * 1024 * 1024
"""The batch's own context, once for each of its events."""
ID_CHARS_MAX = 512
NAME_CHARS_MAX = 256
ITEMS_PER_EVENT_MAX = 200
VALUES_PER_EVENT_MAX = 64
SCHEMAS_MAX = 256
"""Event names with a schema of their own in the configuration."""
SCHEMA_FIELDS_MAX = 128
"""Fields that one of them names."""
SCHEMA_WORDS_MAX = 256
"""Values that one field may be limited to."""
ITEM_PLACES_MAX = 32
"""Places where `events.item_from` looks for an item's id."""
ITEMS_PER_REQUEST_MAX = 5_000
ITEM_DEPTH_MAX = 64
"""How deep lists and maps in the fields of an item, or of a candidate, may stand in one another."""
FIELDS_NESTED_MAX = 512
"""Likewise in a record of the log, whoever wrote it. Beyond it, no two readers agree."""
ITEM_REMARKS_MAX = 64
"""Warnings of one reply about items, each of one kind about one field; further ones are left out and counted."""
ITEMS_LISTED_MAX = 1_000
"""Items of one page of the catalogue."""
ITEMS_LISTED_BYTES_MAX = 4 * 1024 * 1024
"""Of one page; it ends with the item that reaches this."""
ITEM_DELETIONS_PER_WRITE_MAX = 1_000
"""Items that a replace deletes in one write; further ones in the next."""
REPLACES_OPEN_MAX = 1_000
"""Catalogues that are being replaced at once, one a tenant; of one more the begin is refused with 429. Each takes 9
bytes for an item that is there."""
SHOWN_ID_CHARS = 80
"""Characters of an item's id that messages show."""
CANDIDATES_MAX = 1_000
PLACEMENTS_MAX = 20
LIST_LIMIT_MAX = 200
BODY_SKIPPED_BYTES_MAX = 16 * 1024 * 1024
"""Read and forgotten of a body that is too large, so that the client hears why."""

REQUESTS_PER_S_MAX = 1_000_000
"""The highest rate that can be set."""
NEW_PEOPLE_PER_S = 200
"""People a second whom one public key may make known, unless `new_people_per_s` of its tenant says otherwise ..."""
NEW_PEOPLE_NETWORK_DIVISOR = 10
"""... of which one network, an IPv4 address or an IPv6 /64, has at most one in so many."""
VISITOR_SECRET_CHARS_MAX = 128
"""Of the secret by which a device proves to be an `anonymousId`."""
VISITOR_RIGHTS_PER_S = 10
"""What the visitors of a tenant may ask of themselves by a public key, in parts, of which ..."""
VISITOR_WHY_COST = 1
"""... a decision that is looked for takes one, ..."""
VISITOR_ERASURE_COST = 20
"""... an erasure, which writes a checkpoint, two seconds' worth, ..."""
VISITOR_EXPORT_COST = 100
"""... and an export, which reads the whole log, ten seconds' worth."""
NETWORKS_REMEMBERED_MAX = 4_096
"""Networks of which it is counted how many people came from them; further ones are counted together."""
HOSTS_REMEMBERED_MAX = 256
"""Values of the Host header that are known to be in order."""
ORIGINS_TOLD_MAX = 32
"""Origins of pages that were not let in, each told of once."""
PREFLIGHT_HEADERS_CHARS_MAX = 1_024
"""Of the headers that a page asks to send, what is looked at."""
PROXIES_LISTED_MAX = 32
"""Addresses in X-Forwarded-For or Forwarded that are looked at, the nearest first."""
TURN_WORK_MAX = 6
"""Work that one pass of the loop begins while tenants compete, in units of about 0.1 ms."""
TURN_QUANTUM = 6
"""Work that a tenant of share 1 may begin before it is the next one's turn."""
TURNS_WAITING_MAX = 48
"""Requests of one tenant that wait for its turn; further ones are refused with 429."""
TENANT_PLACES_DIVISOR = 2
"""While tenants compete, one of them has at most one in so many of the places that `serve.requests_max` gives out;
further requests of it are refused with 429."""

# Serving.
BACKLOG_MAX = 512
"""Connections that the kernel holds until they are taken up, or turned away because all places are taken."""
HEAD_BYTES_MAX = 64 * 1024
"""Of a request's line and headers; also what is read of one connection ahead of what was asked for."""
SEND_BUFFER_BYTES_MAX = 128 * 1024
"""Of a reply, what the kernel holds for a client that has not read it yet; Linux takes twice as much."""
REPLIES_BYTES_MAX = 8 * 1024 * 1024
"""Held at once of replies that the kernel does not take whole, until their readers have taken them. Where one more has
no room, those who have taken nothing for the longest are cut off ..."""
REPLY_SPARED_MS = 200
"""... but nobody who takes nothing only for so long: then the new one is refused with 429. How long a reader may take
is bounded as for exports."""
REPLIES_CUT_OFF_MAX = 16
"""Replies to one tenant that may be cut off so, since each leaves some of itself with the kernel and the HTTP server;
beyond it the tenant's large replies are refused with 429 ..."""
REPLY_CUT_OFF_S = 30
"""... until the oldest of these is so old."""
REPLY_PIECE_BYTES = 8 * 1024
"""Of such a reply, what is given to the HTTP server at once: it holds some of them for a reader who takes nothing."""
BODY_FREE_BYTES = 16 * 1024
"""Of each body, what is read whatever the others hold: senders of large ones cannot keep out small ones."""
BODIES_BYTES_MAX = 64 * 1024 * 1024
"""Held at once of all bodies, beyond what is free of each; beyond it they are refused with 429."""
BODY_BYTES_PER_S_MIN = 64 * 1024
"""So much of a body buys it another second, beyond `serve.body_read_s`: large ones come over slow lines too."""
LITTLE_PIECES_PER_S = 5_000
"""Pieces of bodies that are next to nothing, of all senders together, that are taken as they come; beyond it each waits
until more has gathered."""
BEHIND_MS_MAX = 50
"""How long the loop may be behind with what is ready to run; from then on requests are refused with 429 ..."""
PASS_MS_MAX = 20
"""... that come up after so much of a pass of the loop."""
KEY_SPARED_MAX = 16
"""What comes up of one access key in a pass of the loop that is refused for nobody else's sake; ..."""
KEYS_SPARED_MAX = 64
"""... so much of it, of all keys together, is let in where all else is refused."""
FILES_RESERVED = 256
"""Open files kept for the log, checkpoints and so on; the others may be connections."""

LIVE_SAMPLES_MAX = 3_600
"""Samples, one a second, that `GET /v1/live` can look back on; the oldest goes for a new one."""

STREAM_READERS_MAX = 400
"""Who follows `GET /v1/stream` at once; one more is refused with 429. So is one more of a tenant with ..."""
STREAM_READERS_PER_TENANT_MAX = 240
STREAM_QUEUE_BYTES_MAX = 1024 * 1024
"""Of entries that wait until a reader takes them; one that has more, or ..."""
STREAM_QUEUE_ENTRIES_MAX = 8_192
"""... so many, is cut off and told from where to resume. Readers who ask for the same share the bytes."""
STREAM_QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Of all readers together; beyond it who has the most waiting is cut off."""
STREAM_CUT_S_MAX = 30
"""So long what is being sent to a reader who was cut off is waited for, to tell it why; then the connection goes."""
STREAM_SILENT_S_MAX = 300
"""So long a reader may take nothing at all; then the kernel hangs up on it."""
STREAM_BEHIND_MAX = 4
"""Readers at once for whom the log is read that lies behind; others wait for their turn."""
STREAM_RECORDS_PER_STEP = 256
"""Records looked at before what they hold is told ..."""
STREAM_ENTRIES_BYTES = 256 * 1024
"""... or so many bytes of entries made, and the piece that reaches this."""
STREAM_READ_PER_PIECE = 16
"""Of these, so many are read before others may use the processor: one may take 0.3 ms."""
STREAM_PIECE_BYTES = 64 * 1024
"""Of entries that wait, so many are sent at once, and the chunk that reaches this."""
STREAM_JOINED_BYTES_MAX = 16 * 1024 * 1024
"""Of the log before an outcome, in which the decision is looked for that had shown the item."""
STREAM_ITEMS_MAX = 50
"""Items of a list, or of an event, that an entry names; it says how many it leaves out."""

# Engine.
UNFOLDED_RECORDS_MAX = 200_000
"""Records durable and not yet folded; beyond it ingest is refused with 429."""
FOLD_BATCH_EVENTS_MAX = 128
FOLD_BATCH_ITEMS_MAX = 1_024
WORDS_UNPACKED_MAX = 4_096
"""Texts of contexts that a replay of many events keeps the references of; at one more it begins anew."""
PENDING_BYTES_MAX = 32 * 1024 * 1024
"""Bytes accepted for the log and not yet synced; beyond it ingest is refused with 429."""
LINKED_CELLS_MAX = 8
"""Cells of a person that are read together: the one asked about, and the most recently active of the others."""
ERASED_MESSAGES_MAX = 16_384
"""Messages of an erased person that are recognised by their ids when they come again."""
LINKS_MAX = 1_000
"""Links of a person, users of a device, claims of a user. Further ones are not made, and the sender is told
(`links_full`)."""
CLAIMS_OF_DEVICE_MAX = 8
"""Users that a device says it is, with a public key. What it says of further ones counts for the device, without the
name."""

# Log.
FRAME_BYTES_MAX = 1024 * 1024
QUARANTINE_BYTES_MAX = 64 * 1024 * 1024
"""The oldest entries go for new ones."""
QUARANTINE_PRIVATE_BYTES_MAX = 16 * 1024 * 1024
"""Of it, what one tenant's keys that are not public add at once, and as much again in a day; what is beyond is kept as
stubs."""
QUARANTINE_PUBLIC_BYTES_MAX = 4 * 1024 * 1024
"""Likewise one tenant's public keys ..."""
QUARANTINE_PUBLIC_ALL_BYTES_MAX = 16 * 1024 * 1024
"""... and those of all tenants together."""
QUARANTINE_NOTED_BYTES_MAX = 4 * 1024 * 1024
"""Likewise pointers to late events and poison of one tenant; of what is beyond only the number is known."""
QUARANTINE_STUBS_DIVISOR = 8
"""Stubs add one in so many of these bytes; what is beyond that too is counted with the next entry."""

# State.
ITEMS_MAX = 1_100_000
"""Items with aggregates: those of the catalogue, and those that only events have named."""
ITEMS_MET_MAX = 100_000
"""While so many items have aggregates, events make none for an item that is not in the catalogue; about further ones
they count and change no item."""
CATALOGUE_ITEMS_MAX = 1_000_000
"""Items in the catalogue, where `state.memory_mb` has room for so many."""
CATALOGUE_ITEMS_ALWAYS = 200_000
"""Items of the usual size that are taken into the catalogue whatever `state.memory_mb` says."""
CATALOGUE_MEMORY_DIVISOR = 8
"""Where so much of `state.memory_mb` is more than they take, items that are larger have it."""
CATALOGUE_ITEM_BYTES = 448
"""What an item of the catalogue is reckoned to take beside its aggregates; of larger ones there is room for fewer."""
ITEM_FIELDS_BYTES_MAX = 16 * 1024
VECTOR_LENGTH_MAX = 1_024
"""Numbers of an item's vector."""
VECTORS_BYTES_MAX = 64 * 1024 * 1024
"""Numbers of all vectors of one tenant, a byte each, since a decision looks at all of them: 524,288 items of 128, or
174,762 of 384."""
VECTORS_FOLLOWED_MAX = 256
"""Changed vectors that are read at once (6 ms) while nobody asks; a decision reads those that are left."""
ATTRIBUTE_VALUES_MAX = 4
"""Values of one multi-valued item field that features can see."""
FIELDS_TYPED_MAX = 1_024
"""Fields of a tenant's items whose kind is remembered, so that a change of it can be told."""
TEXTS_NAMED_MAX = 65_536
"""Values of item fields that a profile says by name; it says further ones by reference."""
FEATURES_MAX = 256
NAMES_HEARD_MAX = 128
"""Names of events that one feature hears."""
TOP_K_MAX = 64
TILES_MAX = 512
STEPS_MAX = 4 * 1024 * 1024
"""Steps that one ring keeps, where `state.memory_mb` has room for so many; one more takes the place of the oldest."""
STEPS_MIN = 1_024
"""Steps that one ring keeps whatever `state.memory_mb` says."""
STEPS_MEMORY_DIVISOR = 16
"""All rings together take so much of `state.memory_mb`."""
STEP_RINGS_MAX = 4
"""Features of one configuration that keep steps, each in a ring of its own."""
STEP_ITEMS_MAX = 32
"""Items of one event that become steps; further ones are counted as ever and are no steps."""
STEPS_READ_MAX = 20
"""Steps of one person that a decision reads, the newest."""
SEEN_STEPS_MAX = 256
"""Steps of one person, the newest, by which a placement leaves out what they have looked at before."""
WALK_ITEMS_MAX = 12
"""A person's newest items from which a decision walks the ring of steps."""
WALK_HITS_MAX = 800
"""Steps about each of them that a walk looks at, the newest."""
WALK_VISITS_MAX = 1_024
"""People whose visits a walk looks at; those met first are of the newest items."""
WALK_FOUND_MAX = 2_048
"""Items that a walk finds; those met first are nearest."""
TOGETHER_ITEMS_MAX = 8
"""Items, of a cart for instance, from which a decision walks the ring of orders."""
TOGETHER_HITS_MAX = 600
"""Orders of all of them together that a walk looks at, the newest of each."""
TOGETHER_REACH = 32
"""Lines of a person's orders that are looked at on each side of the shared one."""
TOGETHER_FOUND_MAX = 2_048
"""Items that such a walk finds."""
NEW_ITEMS_DRAWN_MAX = 32
"""New items of a tenant among which one decision draws; those shown least come first."""
COLD_FILE_BYTES = 64 * 1024 * 1024
"""Size at which a file of idle people is closed and the next one begun."""
COLD_RECORD_BYTES_MAX = 16 * 1024 * 1024
"""One idle person on disk."""
COLD_MOVED_MAX = 128
"""People moved to disk in one step, about 1 ms."""
FETCHES_WAITING_MAX = 1_024
"""People on disk who wait to be read, for decisions and for the fold each. Beyond it decisions do without them, and the
fold reads them itself."""
FETCHED_PEOPLE_MAX = 4_096
"""People who were read ahead and are at hand ..."""
FETCHED_BYTES_MAX = 16 * 1024 * 1024
"""... and what they take together. Who was needed longest ago makes room."""

# Privacy.
SUBJECTS_OPEN_MAX = 32_768
"""Subjects whose keys are unwrapped in memory; further ones take the place of the longest there."""
SUBJECTS_OPEN_IN_PROCESS_MAX = 262_144
"""Likewise where a past is run through in one process, as `instanter try` does, and everybody comes again and again."""
PURPOSES_MAX = 32
"""Purposes of consent in one configuration, and in one statement."""
CONSENT_IDS_MAX = 256
"""Ids of consent tools that `privacy.consent_ids` leads from."""
TCF_CHARS_MAX = 16_384
"""Of a consent string of the IAB's framework."""
USER_TOKEN_CHARS_MAX = 2_048
USER_TOKENS_KNOWN_MAX = 4_096
"""User tokens of which it is remembered whether they are good."""
SIGNING_SECRETS_PER_TENANT_MAX = 4
SIGNING_SECRETS_MAX = 4_096
"""Of all tenants, for user tokens."""
PURPOSES_STATED_MAX = 32
"""Purposes that statements are kept about though no feature was ever declared for them; those of further ones are in
the sealed events alone."""
PURPOSES_KEPT_MAX = 256
"""Purposes that statements are kept about, over all configurations."""
REFUSALS_MAX = 65_536
"""People of whom it is remembered when they last repeated a refusal; a grant of another one has to be newer than the
moment when that was forgotten."""
READING_PLANS_MAX = 256
"""Sets of denied purposes for which it is remembered what may be read of a person."""
TOMBSTONES_MAX = 100_000
"""Erased people whose late events are still dropped."""
EXPORTS_MAX = 2
"""Exports of people made at once, and likewise readings of the whole audit: each reads a whole log ..."""
EXPORTS_PER_TENANT_MAX = 1
"""... and so many of them are of one tenant."""
EXPORT_PIECE_BYTES = 256 * 1024
"""Of an export, what lies in memory until its client has taken it: a piece ends with the line that reaches this ..."""
EXPORT_WAIT_S_MAX = 60
"""... and how long clients may let us wait until pieces are taken, in all. One that needs longer is cut off: it keeps
others from theirs ..."""
EXPORT_BYTES_PER_S_MIN = 64 * 1024
"""... but so much that was taken buys another second."""
ACCESS_KEYS_MAX = 10_000
"""Access keys that count."""
ACCESS_KEYS_PER_TENANT_MAX = 1_000
ACCESS_KEYS_REVOKED_MAX = 10_000
"""Revoked access keys that are still listed; of more the one revoked first is forgotten."""
KEYS_LISTED_MAX = 2_000
"""Access keys in one listing."""
ACCESS_KEY_CHARS_MAX = 256
"""Characters that are looked at of what is sent as an access key."""
TENANTS_MAX = 1_000
"""Tenants with terms of their own in the configuration."""
AUDIT_HANDED_IN_MAX = 256
"""Acts of commands that are taken into the record at once; further ones wait for the next time."""

# Backups.
BACKUP_MANIFEST_BYTES_MAX = 64 * 1024 * 1024
"""Of the list of a backup's files, about 400,000; it is in memory whole while a backup is checked or restored."""
BACKUP_TRIES_MAX = 8
"""How often a backup begins again because retention removed what it was copying."""
MOVED_ENDS_MAX = 262_144
"""Records behind which a migration remembers the new position, for receipts that name where they stood."""

# Caches.
PARSED_AGENTS_MAX = 8_192
PARSED_REFERRERS_MAX = 8_192
EVENT_NAMES_MAX = 4_096
"""Event names whose canonical form is remembered."""
SHAPES_MAX = 1_024
"""Rows of names that properties of events have together, of which it is remembered what follows from them, ..."""
SHAPE_CHARS_MAX = 1_024
"""... and the characters of all names of one; an event with longer ones is worked out each time."""
PARSED_ADDRESSES_MAX = 16_384
CONTEXTS_MAX = 8_192
"""Circumstances, as sent, whose enriched form is remembered."""
AGENT_CHARS_MAX = 512
"""Characters of a user agent that are looked at."""
REFERRER_CHARS_MAX = 512
"""Characters of a referrer or page address that are looked at."""
EVENT_DEPTH_MAX = 64
"""Nesting of one event's JSON."""
EVENT_BRACKETS_FREE = 64
EVENT_BYTES_PER_BRACKET_MIN = 8
"""Maps and lists cost most to decode: beyond the free ones an event has at most one `{` or `[` in so many bytes."""
REASON_CHARS_MAX = 300
"""Characters of the reason kept with a quarantined event."""

MENDED_PLACES_MAX = 2_000
"""Escapes, broken characters and so on in one event that is no JSON; with more it is refused and not mended."""
BROKEN_EVENTS_MAX = 128
"""Events of one body, also of one that is imported or tried again, that are no JSON and could not be mended; further
ones are refused and not looked into ..."""
BROKEN_EVENTS_BYTES_MAX = 256 * 1024
"""... and so they are beyond so many bytes of such events."""

# What is said about events that were taken.
NOTES_PER_EVENT_MAX = 8
"""Things said about one event; further ones are not told."""
WARNINGS_PER_REPLY_MAX = 32
"""Warnings in one reply to a tracking request; further ones are only counted."""
TALLY_TENANTS_MAX = 1_000
"""Tenants whose events are counted by name since the start."""
TALLY_NAMES_PER_TENANT_MAX = 256
"""Event names of a tenant that are counted apart; further ones are counted together."""
TALLY_NOTES_PER_TENANT_MAX = 512
"""Combinations of event name, code and field of a tenant that are counted apart; of further ones only the number is
known."""

# Quarantine.
QUARANTINED_EVENT_BYTES_MAX = 512 * 1024
"""Up to here an event that was refused is kept whole, also where it was refused for its size."""
PEOPLE_NAMED_MAX = 1_000
"""Mentions of people in the bytes of a refused event; with more it is sealed for its day alone."""
SEALS_NESTED_MAX = 4
"""People for whom one refused body is sealed; one that names more is sealed for its day alone."""
LATE_NOTED_PER_MINUTE_MAX = 120
"""Late events that get an entry of their own in the quarantine; further ones are counted with the next."""
POISON_NOTED_PER_MINUTE_MAX = 6_000
"""Records that could not be folded and get an entry in the quarantine; further ones are counted with the next."""
TENANTS_NOTED_MAX = 1_024
"""Tenants whose late events get entries; those of further ones are only counted."""
QUARANTINE_GROUPS_MAX = 1_000
"""Groups told apart when the quarantine is listed; what is beyond them is told as one."""
REPAIR_EVENTS_MAX = 10_000
"""Events of the quarantine that one request tries again, those of a body one by one; the entry that reaches this is the
last."""
REPAIR_EXAMPLES_MAX = 10
REWRITE_BYTES_MAX = 64 * 1024
REWRITE_STEPS_MAX = 50
REWRITE_PLACES_MAX = 1_000
"""Places of one event that one step of a rewrite changes."""
REWRITE_TEXT_CHARS_MAX = 1_024
"""Characters of a text that a rewrite puts in."""

# Decisions.
DEADLINE_MS_MAX = 10_000
QUERY_CHARS_MAX = 1_024
FOUND_MAX = 200
"""Candidates that the sources find for one placement."""
SHOWN_RECENTLY_MAX = 8
"""Items looked at last whose neighbours are candidates."""
STANDING_LIST_MAX = 400
"""Items of a tenant's trending, popular and newest list."""
VALUES_LISTED_MAX = 8_192
"""Values of text fields whose most popular items are listed; those of further values are found by other sources."""
VALUE_LIST_MAX = 64
ITEM_WORDS_MAX = 32
"""Different words of one item that searches and likeness look at: the first ones, title before category, brand, tags
and further texts."""
WORD_CHARS_MAX = 32
"""A longer word counts by its beginning."""
FIELD_WORDS_CHARS_MAX = 256
"""Characters of one text field that words are taken from: of a description, its beginning."""
VALUES_IN_COMMON_MAX = 24
"""Values of one item by which it has something in common with others: the first ones, words of the title before
category, brand, tags and further texts."""
WORDS_IN_COMMON_MAX = 8
"""Words of a title among them."""
VALUE_IN_COMMON_CHARS_MAX = 64
"""A longer text is none that items have in common."""
FIELDS_IN_COMMON_MAX = 12
"""Fields of a tenant's items by which people go on from one to another: those with most values."""
VALUES_FOLLOWED_MAX = 128
"""Changed items whose values are read at once (3 ms) while nobody asks; a decision reads those that are left."""
WORDS_FOLLOWED_MAX = 256
"""Changed items whose words are read at once (6 ms) while nobody asks; a decision reads those that are left."""
QUERY_WORDS_MAX = 16
"""Different words of a query that are looked for, the first ones."""
PREFIX_WORDS_MAX = 64
"""Words that the beginning of one may stand for in a query: those that most items have."""
SEARCHED_ENTRIES_MAX = 262_144
"""Times that an item has a word, looked at for one query; what is left of it are its most common words."""
COMPLETIONS_MAX = 20
"""Completions of one question."""
COMPLETED_ITEMS_MAX = 20
"""Items beside them."""
COMPLETED_FOUND_MAX = 60
"""Candidates among which these are the first."""
COMPLETED_ENTRIES_MAX = 32_768
"""Times that an item has one of the words that may be meant, looked at to say how many items have each; of more, the
same share of each."""
COMPLETED_ROWS_MAX = 4_096
"""Items looked at that have the rarest of the words before it."""
ALIKE_ENTRIES_MAX = 16_384
"""Likewise for the items that are alike in words."""
ITEMS_SHOWN_MAX = 512
"""Items that were shown lately and are kept unpacked; from then on they are unpacked anew."""
ALIKE_TO_MAX = 4
"""Items looked at last that others are alike to in words, where the page is about none."""
DELETED_KNOWN_MAX = 65_536
"""Deleted items that nothing was counted of and that are still known to have been deleted: the last ones."""
CHANGES_FOLLOWED_MAX = 1_024
"""Changes of the catalogue that standing lists follow one by one; after more of them all items are looked at again."""
DEDUP_IDS_MAX = 4_096
"""Messages that one person may be remembered by, whatever the log says."""
EPOCHS_LOST_MAX = 1_000_000_000
"""Numbers of epochs between two that are published: those of epochs that the disk refused."""
PUBLISHED_EPOCHS_MAX = 32
"""Epochs whose changed items standing lists follow one by one; after more of them all items are looked at again ..."""
PUBLISHED_ROWS_MAX = 65_536
"""... and items that these changed together; a single epoch may change more."""
TENANTS_STANDING_MAX = 64
"""Tenants whose lists are kept between decisions."""
REQUEST_WARNINGS_MAX = 16
"""Warnings that the reply to a decision carries."""
MODEL_FAULTS_MAX = 20
"""Faults of a model within a minute; with the last of them it is benched."""
RANKER_MS_MAX = 25
"""A ranker that takes longer for one list is counted as faulty."""
NET_ANSWER_MS_MAX = 15
"""How long a decision waits for the net of a model; where its deadline leaves less, or it is late, another ranker
answers."""
NETS_MAX = 4
"""Nets of models that run beside one process, each in a process of its own."""
NET_LOAD_S_MAX = 30
"""Until such a process has to be ready ..."""
NET_JOB_S_MAX = 5
"""... and to answer, whoever waits; then it ends itself."""
NET_MEMORY_MB_MAX = 1_024
"""What such a process may take, beside what the libraries map."""
POOL_ANSWER_BYTES_MAX = 1024 * 1024
"""What a process of the pool may answer."""
NET_TRAINING_S_MAX = 1_200
"""Seconds for the process in which a net is learned ..."""
NET_TRAINING_MEMORY_MB_MAX = 4_096
"""... and what it may take, beside what the libraries map."""
NET_ACTS_MAX = 1_000_000
"""Acts of people, the newest, whose order a net learns ..."""
NET_STEPS_MAX = 12_000
"""... in so many steps of a batch, at most."""
NET_RESTART_S_MAX = 60
"""The longest pause before one is started again that failed; from a tenth of a second on it doubles each time."""
EXPLANATIONS_MAX = 4_096
"""Combinations of reasons whose words are remembered."""
DIVERSE_PLACES_MAX = 48
"""Places of a list that are arranged for difference; the ones below follow the score."""
RECEIPT_CANDIDATES_MAX = 192
"""Caller's candidates that a receipt holds by reference; a longer list lies beside the receipt."""
ENCLOSED_BYTES_MAX = 64 * 1024
"""Of what lies beside a receipt: the caller's list and fields; a decision with more cannot be recomputed."""

# Replays.
REPLAY_EVENTS_MAX = 1_000_000
"""Records between one kept checkpoint and the next, so that no replay of a decision folds more."""
CHECKPOINTS_KEPT_MAX = 64
"""Checkpoints kept for replays; with more, those that are kept lie twice as far apart."""
CHECKPOINTS_KEPT_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""Disk that they may take, with the files of idle people that only they name; beyond it likewise."""
WHY_INPUTS_MAX = 8
"""Inputs that are told of an item where somebody asks why it stands in a list or does not."""
EXPLAINED_ITEMS_MAX = 50
"""Items shown, and items left out, that are told of each list where somebody asks for a decision with its reasons."""
SOURCE_LOOKED_MAX = 10_000
"""So far down a source's list an item is looked for where somebody asks why it is no candidate."""
WHATIF_BYTES_MAX = 8 * 1024
"""Of what is to be tried instead of what was, where a decision is decided otherwise ..."""
WHATIF_WEIGHTS_MAX = 64
"""... and weights in it."""
DIFFERING_TOLD_MAX = 1_000
"""Decisions of one replay that are told with what came out differently; further ones are only counted."""

MISSING_TOLD_MAX = 16
"""Inputs that a receipt names because its model did not find them."""

# Online learners.
LEARNER_INPUTS_MAX = 64
"""That one learner reads beside the ranker's score."""
LEARNER_WEIGHT_MAX = 100.0
"""The widest bound of a learner's weights that can be declared."""
LEARNERS_MAX = 1_024
"""Learners of all tenants and placements; where there are more, further ones stay the ranker alone."""
LESSON_ITEMS_MAX = 24
"""Of each list, from the top: what is shown further down teaches nothing."""
LESSONS_OPEN_MAX = 20_000
"""Lists that wait for outcomes; of more the oldest are closed before their time, and that is counted."""
LESSONS_BYTES_MAX = 16 * 1024 * 1024
"""Of all lists that wait."""
LESSONS_PER_PERSON_MAX = 64
"""Lists of one person that wait."""

# Trained models.
MODELS_KEPT_MAX = 256
"""Trained models in one data directory; before a further one is kept the oldest that nothing needs are removed."""
MODEL_BYTES_MAX = 32 * 1024 * 1024
MODEL_INPUTS_MAX = 4_096
MODEL_NODES_MAX = 500_000
"""Splits and leaves of all trees of one model."""
ATTENTION_ITEMS_MAX = 50_000
"""Items that the net of one model knows, those acted on most."""
CALIBRATION_KNOTS_MAX = 512
CALIBRATION_ITEMS_MAX = 24
"""Of each list, from the top: whether the probabilities of what is shown further down hold is not watched."""
CALIBRATION_DECISIONS_OPEN_MAX = 10_000
"""Decisions with probabilities that wait for outcomes; while there are as many, further ones are not watched."""
CALIBRATION_DECISIONS_PER_PERSON_MAX = 64
"""Of one person, likewise."""
CALIBRATIONS_WATCHED_MAX = 1_024
"""Models, by placement and tenant, whose probabilities are watched; of more the one that served longest ago begins
anew when it serves again."""

# Feedback.
SLATES_OPEN_MAX = 200_000
"""Lists whose outcomes are still waited for; beyond it the oldest is taken for complete, and counted."""
OUTCOMES_WAITING_MAX = 500_000
"""Events whose outcomes are not settled yet; beyond it the oldest is settled early."""

# Imports.
IMPORTS_PER_TENANT_MAX = 256
"""Imports of a tenant of which is known how far they were taken; beyond it the oldest that is finished is forgotten."""
IMPORTS_MAX = 4_096
"""Of all tenants together, likewise."""
ARCHIVE_RECORD_BYTES_MAX = 4 * 1024 * 1024
"""One event, or one batch of them, in a file to be imported."""
ARCHIVE_BUFFER_BYTES = 256 * 1024
"""Read of such a file at once."""
IMPORT_PIECE_BYTES_MAX = BATCH_BYTES_MAX + 64 * 1024
"""A piece of an import, as a client sends it: a batch, and the numbers of its lines."""
UNPACKED_FREE_BYTES = 1024 * 1024 * 1024
"""Of a packed file, of events or items, what is unpacked whatever it was packed into ..."""
UNPACKED_RATIO_MAX = 2_000
"""... and beyond it so many times what was packed, which gzip alone cannot reach: more was made to have no end."""
FEED_LINE_CHARS_MAX = 1024 * 1024
"""A line, a row of a table or an element of a list in a file of items; a longer one is told with its place."""
FEED_COLUMNS_MAX = 2_048
"""Of a table of items. One of events has as many as its rows have room for."""
FEED_VALUE_CHARS_MAX = 64 * 1024
"""Of one value of such a table; a longer one is most likely a quote that nobody closed."""
ROWS_PEEKED_MAX = 100
"""Rows of a file by whose values it is told what a column is."""
FEED_QUOTES_MAX = 100
"""Quotes of one table that are not closed and behind which the rows are read by themselves."""
FEED_WRAPS_MAX = 3
"""Objects that may stand around a list of items, one in the other."""
FEED_SHAPES_MAX = 1_000
"""Sets of names whose meaning is remembered while items are read."""
FEED_GROUPS_MAX = 1_000
"""Groups whose items are counted, to tell of one that holds most of them."""
TRIED_ACTS_MAX = 1_000_000
"""Acts of a history that `instanter try` takes, the newest; older ones are left out and counted."""
TRIED_REMARKS_MAX = 100
"""Reasons, and kinds of events, that are told by themselves; further ones are counted together."""
FEED_XML_DEPTH_MAX = 32
FEED_XML_CHARS_MAX = 64 * 1024
"""Of the text of one element, and of all its attributes."""
FEED_XML_ELEMENTS_MAX = 2_048
"""Within one item."""
FEED_XML_TAG_BYTES_MAX = 1024 * 1024
"""One tag, comment and so on: the parser looks at it again with each piece of the file that it goes on in."""

# Telling again.
REMAP_MESSAGES_MAX = 200_000
"""Events among which repetitions are told while kept events are told again."""
REMAP_POSITIONS_MAX = 500_000
"""Positions of events that have been told again which are held at once; for more the log is read once more."""
REMAP_STEP_BYTES = 4 * 1024 * 1024
"""Of events that one step may tell again; it ends with the one that reaches this."""
REMAP_NAMES_MAX = 1_000
"""Event names that the report of `instanter remap` tells apart; further ones are counted together."""

# What has no effect.
EFFECTS_RECORDS_MAX = 20_000
"""The newest records of the log that a report on the data looks at."""
EFFECTS_NAMES_MAX = 256
"""Event names among them that are told apart; further ones are counted together."""
EFFECTS_SAMPLES_MAX = 200
"""Events about unknown items, and decisions, that it looks into."""
STOCKTAKEN_ITEMS_MAX = 1_000
"""Items of the catalogue whose fields it reads, to say which of them have no effect."""
EFFECTS_ITEMS_MAX = 20_000
"""Items of the catalogue in whose fields it looks for the ids that events name."""

# Listings.
PAGE_ENTRIES_MAX = 200
"""People or decisions on one page of a listing."""
READ_BACK_BYTES_MAX = 1024 * 1024
"""Of the log, what one page of a listing looks at; it may be shorter than asked for, and says where to go on."""
TIMELINE_PIECES_MAX = 16
"""Such pieces that one page of a person's timeline looks through, and as many again from their newest event back."""

# Console.
CONSOLE_SESSIONS_MAX = 1_024
"""People who are logged in at once; of one more the login is refused with 429."""
CONSOLE_SESSIONS_PER_KEY_MAX = 16
"""Of these, with one access key; of one more the oldest ends."""
CONSOLE_SESSION_S_MAX = 8 * 3_600
"""How long a login lasts."""
CONSOLE_FORM_BYTES_MAX = 64 * 1024
"""Of a form that a page sends ..."""
CONSOLE_FORM_FIELDS_MAX = 64
"""... and its fields."""
CONSOLE_PIECES_READ_MAX = 4
"""Pages of a person's timeline that a page of the console asks for until there are entries."""
CONSOLE_TITLES_READ_MAX = 60
"""Items whose titles a page of the console asks for; those after them stand there by their ids."""
CONSOLE_ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Of one answer of the API that a page reads."""

# Jobs.
JOBS_WAITING_MAX = 16
"""Jobs that wait for their turn; one more is refused with 429."""
JOBS_WAITING_PER_TENANT_MAX = 8
"""Of these, jobs of one tenant."""
JOBS_KEPT_MAX = 256
"""Jobs that have ended and can still be asked for."""
JOBS_KEPT_BYTES_MAX = 16 * 1024 * 1024
"""Outcomes of these, together; beyond it the oldest go."""
JOB_S_MAX = 600
"""Seconds for one job; then its process is killed."""
JOB_OUTCOME_BYTES_MAX = 1024 * 1024
"""What the process of a job may say in all."""
JOB_MEMORY_MB_MAX = 1_024
"""Of the state, what the process of a job holds in memory, where `state.memory_mb` is more."""
TRAINING_RECORDS_LEAST = 2_000
"""Records that have come since the last trainings, before there are others, and ..."""
TRAINING_GROWTH = 0.05
"""... their share of those there were."""
TRAINING_TURNS_SKIPPED_MAX = 15
"""Turns that a placement's training sits out at most after it failed."""
REPLAY_WAIT_MS_MAX = 2_000
"""How long a request waits for its replay before it is answered 202."""

NEXT_ACTS_MAX = 20_000
"""Acts of people that a model learns from by what each of them did next."""
EMBEDDING_STEPS_MAX = 20_000
"""Newest steps of people from item to item by which it is judged what vectors of texts are worth ..."""
EMBEDDING_PEOPLE_MAX = 1_000_000
"""... people whose last item is remembered while they are looked for ..."""
EMBEDDING_TEXT_CHARS_MAX = 2_000
"""... and how much of an item's text a vector is made of."""
CONDITIONAL_LOGIT_VALUES_MAX = 32_000_000
"""Inputs of rows, those of the newest lists, that a conditional logit is learned from; 4 bytes each."""
HISTORY_LINES_MAX = 1_000
"""Trainings that are remembered, with what became of each model; of more the oldest are forgotten ..."""
HISTORY_BYTES_MAX = 4 * 1024 * 1024
"""... and so they are where all together take more."""

# Configuration.
CONFIG_BYTES_MAX = 1024 * 1024

# Worker processes.
WORKERS_MAX = 64
"""Processes that serve one data directory: one that writes its log, and those that follow it and decide."""
DECISION_SEARCH_BYTES_MAX = 16 * 1024 * 1024
"""Of the log read for the record of a decision, behind where it lies at the earliest by its id."""
RECEIPTS_WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Receipts that a decider holds for the writer; further ones are lost, and counted."""
RECEIPTS_SENT_BYTES_MAX = 1024 * 1024
"""Receipts in one message to the writer, unless a single one is larger."""
WORKER_PAUSE_S_MAX = 30.0
"""Before a worker that has ended is started again: twice as long each time it ends soon, and no longer than this."""

# The demo's shop.
STOREFRONT_PICTURES_MAX = 2_048
"""Drawn pictures that are kept; the one not asked for longest is drawn again."""
STOREFRONT_ITEMS_MAX = 50_000
"""Items of a shelf; a file with more is read that far, and said so."""
STOREFRONT_LISTED_MAX = 200
"""Items of one category's page that are put in order for a visitor; of more, so many spread over all of it."""
STOREFRONT_QUERY_CHARS_MAX = 200
"""Of what is searched for; the rest is left out."""
STOREFRONT_PLAYED_MAX = 8
"""Views that a persona begins with."""
CROWD_VISITORS_MAX = 1_000
"""Simulated visitors that shop at once."""
CROWD_CALLS_PER_S = 40
"""Calls a second that all of them make together, at most."""
STOREFRONT_BODY_BYTES_MAX = 16 * 1024
"""Of what a page of the shop asks its server to do."""
STOREFRONT_CONNECTIONS_MAX = 256
"""Connections that its server has at once; further ones wait in the kernel."""

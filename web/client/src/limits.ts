/** Every bound of the client. The server has its own; what it refuses is thrown with its words. */

/** Of one event in a buffer, in bytes; the server takes no larger one. */
export const EVENT_BYTES_MAX = 32 * 1024;
/** Events that a buffer sends at once. */
export const BATCH_EVENTS_MAX = 500;
/** Likewise in bytes. */
export const BATCH_BYTES_MAX = 400 * 1024;
/** Events that a buffer holds, those included that were refused and nobody has been told of yet. */
export const BUFFERED_EVENTS_MAX = 10_000;
/** Of an answer that is read as a whole. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Of a line of an export, in characters. */
export const LINE_CHARS_MAX = 16 * 1024 * 1024;
/** How often one call is sent. */
export const ATTEMPTS_MAX = 10;
/** Of an answer that is none of ours, what an error shows. */
export const REFUSAL_CHARS_MAX = 200;
/** Of a user token; the server believes none that holds longer. */
export const TOKEN_LIFETIME_S_MAX = 24 * 3_600;

/** Events of the tracking specification, as they are sent: each has a time, and an id by which it counts once. */

import { checkKnown, timeText } from "./given.js";
import type { Surroundings } from "./surroundings.js";

export type Json = Record<string, unknown>;

/** What every event may have. It names somebody: by userId, by anonymousId, or by both, which links them. */
export interface EventFields {
  userId?: string;
  anonymousId?: string;
  /** When it happened; now, where nothing is said. */
  timestamp?: Date | string;
  /** The same event sent again under its id counts once; made where none is given. */
  messageId?: string;
  context?: Json;
}

/** Something that somebody did: an event by its name, `Product Viewed`. */
export interface TrackFields extends EventFields {
  event: string;
  properties?: Json;
}

/** A page or a screen that somebody sees. */
export interface PageFields extends EventFields {
  name?: string;
  properties?: Json;
}

/** Who somebody is, and what is known of them. */
export interface IdentifyFields extends EventFields {
  userId: string;
  traits?: Json;
}

/** What group somebody belongs to. */
export interface GroupFields extends EventFields {
  groupId: string;
  traits?: Json;
}

/** A former id of a user. */
export interface AliasFields extends EventFields {
  previousId: string;
  userId: string;
}

export type Event =
  | ({ type: "track" } & TrackFields)
  | ({ type: "page" } & PageFields)
  | ({ type: "screen" } & PageFields)
  | ({ type: "identify" } & IdentifyFields)
  | ({ type: "group" } & GroupFields)
  | ({ type: "alias" } & AliasFields);

const EVERY = ["type", "userId", "anonymousId", "timestamp", "messageId", "context"];
const OWN: Record<Event["type"], { names: string[]; needed: string[] }> = {
  track: { names: ["event", "properties"], needed: ["event"] },
  page: { names: ["name", "properties"], needed: [] },
  screen: { names: ["name", "properties"], needed: [] },
  identify: { names: ["traits"], needed: ["userId"] },
  group: { names: ["groupId", "traits"], needed: ["groupId"] },
  alias: { names: ["previousId"], needed: ["previousId", "userId"] },
};

/** The event as it is sent, with a time and an id; throws TypeError for fields that no such event has or that it lacks. */
export function stamped(event: Event, surroundings: Surroundings): Json {
  const own = OWN[event?.type];
  if (own === undefined) {
    throw new TypeError(`an event has a type: ${Object.keys(OWN).join(", ")}`);
  }
  checkKnown(event, [...EVERY, ...own.names], event.type);
  const given = event as unknown as Json;
  for (const name of own.needed) {
    if (typeof given[name] !== "string") {
      throw new TypeError(`${event.type} needs ${name}`);
    }
  }
  return {
    ...given,
    timestamp: event.timestamp === undefined ? timeText(new Date(surroundings.nowMs())) : timeText(event.timestamp),
    messageId: event.messageId ?? surroundings.messageId(),
  };
}

/** Signed user tokens: by one, a page shows that the shop's own server has signed its visitor in. */

import { createHmac } from "node:crypto";
import { TOKEN_LIFETIME_S_MAX } from "./limits.js";
import { type Surroundings, realSurroundings } from "./surroundings.js";

const HOUR_S = 3_600;

export interface UserTokenFields {
  userId: string;
  /** Id and text of a signing secret of the tenant, as `POST /v1/signing-secrets` made it. */
  secretId: string;
  secret: string;
  tenant?: string;
  lifetimeS?: number;
}

/**
 * A JWT (HS256). Give it to the visitor's page and to nobody else: whoever has it is that user until it ends. Throws
 * RangeError for a lifetime that the server would not believe, and TypeError where a part is missing.
 */
export function userToken(given: UserTokenFields, surroundings: Surroundings = realSurroundings): string {
  const { userId, secretId, secret, tenant = "default", lifetimeS = HOUR_S } = given;
  if (!(userId && secretId && secret && tenant)) {
    throw new TypeError("a user token needs userId, secretId, secret and tenant");
  }
  if (!(Number.isInteger(lifetimeS) && lifetimeS >= 1 && lifetimeS <= TOKEN_LIFETIME_S_MAX)) {
    throw new RangeError(`lifetimeS is from 1 to ${TOKEN_LIFETIME_S_MAX}`);
  }
  const nowS = Math.floor(surroundings.nowMs() / 1_000);
  const header = part({ alg: "HS256", typ: "JWT", kid: secretId });
  const claims = part({ sub: userId, aud: tenant, iat: nowS, exp: nowS + lifetimeS });
  const signature = createHmac("sha256", secret).update(`${header}.${claims}`).digest("base64url");
  return `${header}.${claims}.${signature}`;
}

function part(content: object): string {
  return Buffer.from(JSON.stringify(content)).toString("base64url");
}

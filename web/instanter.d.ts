/** What `instanter.js` puts into a page: the global `instanter`. Guide: docs/guides/browsers.md. */

export interface Purposes {
  /** Whether what is done here may be remembered, and lists may stand on it. */
  personalization?: boolean
  [purpose: string]: boolean | undefined
}

export interface LoadOptions {
  /** Where the server is, such as `https://api.shop.example`; the page's own server where it is left out. */
  host?: string
  /** A public access key with the scopes `write` and `decide`; none where the server runs with `--dev`. */
  key?: string
  /**
   * Left out: nobody is asked here. `null`: the visitor is asked by this page and has not answered, so nothing is sent
   * and nothing is kept on the device until `consent()` is called; what they said on an earlier page stands. A map is
   * what they have said.
   */
  consent?: Purposes | null
  /** A token that the shop's own server has signed for whoever is signed in. */
  userToken?: string
  /** The id that another library has given this device, so that both speak of one visitor. */
  anonymousId?: string
  /** Writes to the console what of accepted events has no effect. */
  debug?: boolean
}

export interface DecideOptions {
  /** How long the page waits; 300 if left out. */
  timeoutMs?: number
  /** What the promise resolves with where there is no answer in time; null if left out. */
  fallback?: Decision | null
  /** Circumstances beside those that the library knows. */
  context?: Record<string, unknown>
}

export interface PlacementRequest {
  id: string
  limit?: number
  query?: string
  /** The item that the page is about. */
  item?: string | number
  candidates?: Array<string | number | { id: string | number, fields?: Record<string, unknown> }>
}

export interface DecidedItem {
  id: string
  /** From 1. */
  position: number
  score: number
  propensity: number
  reasons: string[]
  /** Of the catalogue, those that are public. */
  fields?: Record<string, unknown>
}

export interface DecidedPlacement {
  items: DecidedItem[]
  excluded: Array<{ id: string, reason: string }>
  servedBy: 'personal' | 'session' | 'popular' | 'default'
  experiments: string[]
  model: string
  scoreKind: 'probability' | 'order'
  reason?: string
}

export interface Decision {
  decisionId: string
  position: string
  epoch: number
  tookMs: number
  degraded: string[]
  placements: Record<string, DecidedPlacement>
  warnings?: Array<{ code: string, message: string }>
}

export interface Privacy {
  /** What is known of this visitor. Rejects with the server's sentence, like all of these. */
  profile(): Promise<Record<string, unknown>>
  /** Why a list was shown; only of decisions made for this visitor. */
  why(decisionId: string): Promise<Record<string, unknown>>
  /** From now on nothing is remembered here, whatever `consent()` says. */
  pause(): Promise<{ purposes: Purposes }>
  resume(): Promise<{ purposes: Purposes }>
  /** Everything that is held, one JSON object a line. */
  export(): Promise<string>
  /** Erases the visitor; whoever goes on in this page is somebody new. Resolves with the signed receipt. */
  erase(): Promise<Record<string, unknown>>
}

export interface Instanter {
  /** `v_` and 22 characters that follow from a secret on the device. */
  readonly anonymousId: string
  load(options: LoadOptions): void
  page(name?: string, properties?: Record<string, unknown>): void
  track(event: string, properties?: Record<string, unknown>, context?: Record<string, unknown>): void
  identify(userId: string | number, traits?: Record<string, unknown>, options?: { userToken?: string }): void
  /** Whoever goes on is somebody else: after signing out. */
  reset(): void
  /** What to show. Never rejects. */
  decide(
    placements: string | PlacementRequest | Array<string | PlacementRequest>, options?: DecideOptions,
  ): Promise<Decision | null>
  /**
   * Fills an element that has `data-instanter-list` with as many items as it has children. What stands in it stays
   * where there is no answer in time. It does not get smaller, so that nothing below it moves.
   */
  fill(
    element: HTMLElement, draw: (item: DecidedItem) => HTMLElement,
    options?: DecideOptions & { placement?: Partial<PlacementRequest> },
  ): Promise<Decision | null>
  /** Sends what waits; whether all of it has been taken. */
  flush(): Promise<boolean>
  /** What the visitor has said. After a refusal what waits is dropped, else it is sent. */
  consent(said: Purposes): void
  privacy(): Privacy
}

declare global {
  interface Window { instanter: Instanter }
  const instanter: Instanter
}

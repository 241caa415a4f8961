/* The drawer "what the engine sees". Needs shop.js. */
'use strict'
;(() => {
  const { told, refresh, kept, one, all, make, picture, pageOf, fieldsOf, rungs } = shop
  const root = document.documentElement
  const ask = async (path, body, method = body === undefined ? 'GET' : 'POST') => {
    const reply = await fetch(path, { method, ...(body !== undefined && {
      headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }) })
    const said = await reply.json()
    if (!reply.ok) throw new Error(said.error?.message ?? reply.statusText)
    return said
  }
  const text = (name, words) => { const element = one(`[data-${name}]`); if (element) element.textContent = words }
  const number = (title, value) => make('div', {}, make('span', { textContent: title }), make('b', { textContent: value }))

  /* Open or not is remembered by a cookie, so that the server draws the page as it will be. */
  const wide = matchMedia('(min-width: 1100px)')
  const isOpen = () => root.classList.contains('drawer-open') && (wide.matches || root.classList.contains('drawer-asked'))
  const show = (open) => {
    root.classList.toggle('drawer-open', open)
    root.classList.toggle('drawer-asked', open)
    if (wide.matches) document.cookie = `drawer=${open ? 'open' : 'closed'}; path=/; max-age=31536000; samesite=strict`
    tellOpen()
    if (open) look()
  }
  const tellOpen = () => all('[data-drawer-toggle]').forEach((each) => each.setAttribute('aria-expanded', String(isOpen())))
  all('[data-drawer-toggle]').forEach((each) => each.addEventListener('click', () => {
    const open = !isOpen()
    show(open)
    one(open ? '.close' : '.eye').focus()
  }))
  addEventListener('keydown', ({ key }) => { if (key === 'Escape' && isOpen() && !wide.matches) { show(false); one('.eye').focus() } })
  wide.addEventListener('change', tellOpen)

  const tabs = all('[role=tab]')
  const choose = (tab) => {
    for (const each of tabs) {
      const chosen = each === tab
      each.setAttribute('aria-selected', String(chosen))
      each.tabIndex = chosen ? 0 : -1
      document.getElementById(each.getAttribute('aria-controls')).hidden = !chosen
    }
    try { localStorage.setItem('drawer:tab', tab.id) } catch { /* it opens with the first one */ }
  }
  for (const tab of tabs) {
    tab.addEventListener('click', () => choose(tab))
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key]
      if (!step) return
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length]
      choose(next)
      next.focus()
    })
  }
  try {
    const before = tabs.find((tab) => tab.id === localStorage.getItem('drawer:tab'))
    if (before) choose(before)
  } catch { /* likewise */ }

  /* The visitor, in words and numbers. */
  const drawSeen = (seen) => {
    text('sentence', seen.consent?.personalization === false
      ? 'Personalization is off. This was known before, and no list uses it.' : seen.sentence)
    one('[data-about-visitor]').replaceChildren(
      make('div', { className: 'numbers' }, ...seen.numbers.map(([title, value]) => number(title, value))),
      ...seen.tastes.map(({ title, names }) => make('div', { className: 'taste' },
      make('h3', { textContent: told.news ? title.replace('Makers', 'Writers') : title }),
      ...names.map(({ name, share }) => {
        const bar = make('i')
        bar.style.width = `${Math.max(2, share * 100)}%`
        return make('div', { className: 'bar' }, make('span', { textContent: name, title: name }), bar)
      }))),
      ...seen.items.map(({ title, items }) => make('div', { className: 'seen' },
        make('h3', { textContent: title }),
        make('ul', {}, ...items.map((item) => make('li', {}, make('a', { href: pageOf(item.id), title: item.title },
          make('img', { src: picture(item.id), width: 48, height: 48, alt: item.title, loading: 'lazy' }))))))))
  }
  const look = async () => {
    if (!window.instanter || !isOpen()) return
    text('who', instanter.anonymousId)
    const known = one('[data-who-known]')
    if (known) known.href = `${known.dataset.whoKnown}/people/${encodeURIComponent(`anonymous:${instanter.anonymousId}`)}`
    try { drawSeen(await ask(told.news ? '/news/see' : '/see', { anonymousId: instanter.anonymousId })) } catch (error) {
      text('sentence', error.message)
    }
  }

  /* What a decision does without when its time is up, or when a part of it fails. */
  const cuts = { context: 'what is known of the visitor', candidates: 'some of the candidates', eligibility: 'a check of what may be shown',
    features: 'features', score: 'its ranker', policy: 'trying something out', arrange: 'variety', receipt: 'its receipt' }

  /* The answer: which rung, how fast, and why each item is there. */
  const drawAnswer = (detail) => {
    const badge = one('[data-answer-rung]')
    if (!detail) {
      badge.textContent = 'no answer'
      text('answer-words', 'The page shows what the shop itself put there.')
      text('sentence', 'The engine does not answer.')
      return
    }
    const { answer, paintedMs } = detail, placed = Object.entries(answer.placements)
    const lead = placed[0]?.[1].servedBy ?? ''
    badge.textContent = rungs[lead] ?? lead
    badge.dataset.rung = lead
    const cut = answer.degraded?.length ? `, without ${answer.degraded.map((stage) => cuts[stage] ?? stage).join(', ')}` : ''
    text('answer-words', `${placed.length} list${placed.length === 1 ? '' : 's'} in one decision${cut}`)
    text('took', `${answer.tookMs.toFixed(1)} ms`)
    text('paint-time', `${paintedMs.toFixed(0)} ms`)
    const items = placed.flatMap(([name, list]) => list.items.map((item) => ({ name, item }))).slice(0, 14)
    one('[data-whys]').replaceChildren(...items.map(({ item }) => make('li', {},
      make('img', { src: picture(item.id), width: 40, height: 40, alt: '', loading: 'lazy' }),
      make('div', {}, make('b', { textContent: fieldsOf(item).title ?? item.id }),
        make('span', { textContent: `${item.reasons.join(', ') || 'in the list'}${item.propensity < 1 ? ` · chance ${item.propensity.toFixed(2)}` : ''}` })))))
    drawEarlier()
  }
  const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })
  const drawEarlier = () => {
    one('[data-earlier]').replaceChildren(...kept.get('decisions', []).slice(0, 12).map((entry) => make('li', {}, make('a', {
      href: `/then/${encodeURIComponent(entry.id)}${told.news ? '?of=news' : ''}` },
    make('span', { textContent: clock.format(entry.at) }),
    make('b', { textContent: entry.first || entry.page }), make('span', { textContent: rungs[entry.rung] ?? entry.rung ?? '' })))))
  }
  document.addEventListener('shop:answered', ({ detail }) => {
    drawAnswer(detail)
    look()
  })

  /* Consent counts at once. */
  const consent = one('[data-consent]')
  const sayConsent = (on) => {
    consent.checked = on
    text('consent-words', on ? 'Personalization is on' : 'Personalization is off: nothing more is recorded')
  }
  sayConsent(kept.get('consent', true))
  consent.addEventListener('change', async () => {
    kept.set('consent', consent.checked)
    sayConsent(consent.checked)
    instanter.consent({ personalization: consent.checked })
    await instanter.flush()
    await refresh()
  })

  /* Somebody else: a new id, and the views they begin with. */
  all('[data-persona]').forEach((button) => button.addEventListener('click', async () => {
    const views = button.dataset.persona.split('\n').filter(Boolean)
    await instanter.flush()
    instanter.reset()
    kept.forget()
    instanter.consent({ personalization: true })
    const event = told.news ? 'Article Viewed' : 'Product Viewed'
    for (const id of views) instanter.track(event, { product_id: id })
    await instanter.flush()
    location.href = told.news ? '/news' : '/'
  }))

  /* The shopkeeper: the piece is gone, or there again, and the page's lists follow. */
  const RESTOCKED = 10
  one('[data-sell-out]')?.addEventListener('click', async ({ target }) => {
    const stock = target.dataset.gone ? RESTOCKED : 0
    target.disabled = true
    try {
      await ask('/stock', { id: told.item.id, stock })
      target.dataset.gone = stock ? '' : '1'
      target.textContent = stock ? 'Sell this piece out' : 'Put it back into stock'
      const words = one('.stock')
      words.textContent = stock ? 'In stock, at your door in 3 days' : 'Sold out'
      words.classList.toggle('out', !stock)
      one('[data-add]').disabled = !stock
      await refresh()
    } catch (error) {
      target.textContent = error.message
    }
    target.disabled = false
  })

  /* The crowd. */
  const go = one('[data-crowd-go]')
  let watching
  const drawCrowd = (status) => {
    const { running, visitors, inside, counts, curve, problem } = status
    go.textContent = running ? 'Send them home' : `Let ${visitors || 200} visitors come`
    go.dataset.running = running ? '1' : ''
    text('crowd-words', problem || (running ? `${inside} of ${visitors} are in the shop.` : counts.events ? 'They have gone home.' : 'They have hidden tastes and shop by themselves.'))
    const shown = [['Decisions', counts.decisions], ['Events', counts.events], ['Clicks', counts.clicks], ['Orders', counts.orders ?? 0]]
    one('[data-crowd-numbers]').replaceChildren(...(counts.events ? shown.map(([title, value]) => number(title, (value ?? 0).toLocaleString('en'))) : []))
    const line = one('[data-curve]')
    line.toggleAttribute('hidden', curve.length < 2)
    const top = Math.max(1, ...curve)
    one('polyline', line).setAttribute('points', curve.map((value, n) => `${240 * n / Math.max(1, curve.length - 1)},${46 - 44 * value / top}`).join(' '))
    clearTimeout(watching)
    if (running) watching = setTimeout(watchCrowd, 1000)
  }
  const watchCrowd = async () => { if (isOpen()) drawCrowd(await ask('/crowd')); else watching = setTimeout(watchCrowd, 3000) }
  if (go) {
    go.addEventListener('click', async () => {
      try { drawCrowd(await ask(go.dataset.running ? '/crowd/stop' : '/crowd', go.dataset.running ? {} : { visitors: 200 })) } catch (error) {
        text('crowd-words', error.message)
      }
    })
  }

  if (!window.instanter) drawAnswer(null)
  else if (shop.latest) { // answered before this script had come
    drawAnswer(shop.latest)
    look()
  }
  else if (!one('[data-place]')) {
    one('[data-answer-rung]').textContent = 'nothing asked'
    text('answer-words', told.page === 'Then' ? 'It shows what was decided then.' : 'This page has no list.')
  }
  drawEarlier()
  tellOpen()
  // The lists come first: what the drawer asks for would take the machine from them.
  shop.ready.finally(() => {
    if (!shop.latest) look()
    if (go) watchCrowd().catch(() => text('crowd-words', 'The shop does not answer.'))
  })
})()

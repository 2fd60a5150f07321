// The words of the page, in the language of the session. Nothing here is text of its own.

let phrases = {};
let plural = new Intl.PluralRules("en");

export function speak(words) {
  phrases = words.phrases;
  plural = pluralRules(phrases.language);
  document.documentElement.lang = words.language;
  for (const element of document.querySelectorAll("[data-words]")) {
    element.textContent = say(element.dataset.words);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
}

// The form that goes with a number; the same as in voice_facilitator/plurals.py.
function pluralRules(language) {
  const known = Intl.PluralRules.supportedLocalesOf(language).length > 0;
  return known ? new Intl.PluralRules(language) : { select: () => "other" };
}

export function say(key, values = {}) {
  const phrase = phrases[key] ?? "";
  return phrase.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// "6:05"; what is left counts down to nought and stays there.
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds - 0.001));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// "about twenty minutes": to the minute below ten, to five above.
export function calmly(seconds) {
  const minutes = seconds / 60;
  if (minutes < 1) return say("calm.none");
  const count = minutes < 10.5 ? Math.round(minutes) : Math.round(minutes / 5) * 5;
  return say(`calm.${plural.select(count)}`, { count: say(`number.${count}`) || count });
}

export function short(seconds) {
  const minutes = seconds / 60;
  return minutes < 1 ? clock(seconds) : say("minutes.short", { count: Math.round(minutes) });
}

// A session has silences of minutes: the screen is not to go dark in them. Where the browser allows it.

let lock = null;

export async function keepAwake(wanted) {
  if (!wanted && lock) {
    lock.release();
    lock = null;
  }
  if (wanted && !lock && document.visibilityState === "visible" && navigator.wakeLock) {
    lock = await navigator.wakeLock.request("screen").catch(() => null);
    lock?.addEventListener("release", () => (lock = null));
  }
}

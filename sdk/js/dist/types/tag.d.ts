/** The script tag: `<script async src="…/sdk.js" data-consent="granted"></script>` starts by itself, as `window.tailorbird`. */
export {};

// H5Web, whole, on one file that the server hands out: ?file=mlp/latest&path=/gradients
import '@h5web/app/styles.css';

import { App } from '@h5web/app';
import { H5WasmBufferProvider } from '@h5web/h5wasm';
import { createRoot } from 'react-dom/client';

const wanted = new URLSearchParams(window.location.search);
const file = wanted.get('file');
const answer = await fetch(`/files/${file}`);
if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
createRoot(document.getElementById('root')).render(
  <H5WasmBufferProvider filename={file} buffer={await answer.arrayBuffer()}>
    <App sidebarOpen={false} initialPath={wanted.get('path') ?? '/'} disableDarkMode />
  </H5WasmBufferProvider>,
);

"""Sphinx's settings: notebooks through MyST-NB, shown with the outputs they hold. `make docs` builds the site."""
import configparser
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

ini = configparser.ConfigParser(delimiters=['='])
ini.read(Path(__file__).parent.parent/'settings.ini')
cfg = ini['DEFAULT']

project, author, release = cfg['title'], cfg['author'], cfg['version']
copyright = cfg['copyright'].split(' onwards')[0] + f', {author}'
html_title = project
html_theme = 'furo'
html_theme_options = {'source_repository': cfg['git_url'], 'source_branch': cfg['branch'], 'source_directory': 'nbs/'}
html_static_path = ['_static', 'images']  # pages show drawings of docs/images in <picture>, too
html_css_files = ['site.css', 'figures.css', 'touch.css']
html_js_files = [('touch.js', {'defer': 'defer'})]
html_favicon = '_static/favicon.svg'
html_copy_source = False
html_math_renderer = 'mathml'

extensions = ['myst_nb']
root_doc = 'index'
nb_execution_mode = 'off'
nb_merge_streams = True
nb_render_markdown_format = 'myst'  # outputs may hold tables
myst_enable_extensions = ['dollarmath', 'amsmath', 'attrs_inline']
myst_heading_anchors = 3
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.header']


def math(display):
    "A visitor that writes an equation as MathML"
    def visit(writer, node):
        writer.body.append(convert(node.astext(), display=display))
        raise SkipNode
    return visit


def edit_nothing(app, pagename, templatename, context, doctree):
    "Pages of the reference are made from the package, and those about it lie elsewhere: there is no source file to edit"
    if pagename.startswith('reference/') or pagename in ('changelog', 'security', 'licenses'): context['page_source_suffix'] = context['theme_source_repository'] = None


def setup(app):
    "Browsers draw MathML by themselves: pages need no script from elsewhere"
    app.connect('html-page-context', edit_nothing)
    app.add_html_math_renderer('mathml', (math('inline'), None), (math('block'), None))
